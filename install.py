"""Installs what the nodes need into the Python of ComfyUI: python install.py. ComfyUI's own managers run it too.

OpenCV comes in several packages that overwrite each other, so it is installed only where there is none.
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path


def wanted() -> list[str]:
    """What pip is asked for."""
    requirements = ["-r", str(Path(__file__).with_name("requirements.txt"))]
    return requirements if importlib.util.find_spec("cv2") else [*requirements, "opencv-python-headless>=4.12"]


if __name__ == "__main__":
    sys.exit(subprocess.call([sys.executable, "-m", "pip", "install", *wanted()]))
