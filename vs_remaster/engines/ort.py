"""The packages onnxruntime and onnx, imported when they are needed."""

from __future__ import annotations

import os
from typing import Any

from ..errors import UnsupportedError


def runtime() -> Any:
    """The package onnxruntime; unless the user's environment says otherwise, it is told to send nothing home.

    Raises:
        UnsupportedError: it is not installed.
    """
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # on by default in its wheels, and read when it is imported
    try:
        import onnxruntime
    except ImportError as error:
        raise UnsupportedError(
            "engine 'onnxruntime' needs the package 'onnxruntime' (for a GPU 'onnxruntime-gpu'): "
            "pip install 'vs-remaster[onnx]'"
        ) from error
    return onnxruntime


def graph_package() -> Any:
    """The package onnx.

    Raises:
        UnsupportedError: it is not installed.
    """
    try:
        import onnx
    except ImportError as error:
        raise UnsupportedError("exporting needs the package 'onnx': pip install 'vs-remaster[onnx]'") from error
    return onnx
