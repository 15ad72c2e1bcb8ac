"""Put trained weights where they are shipped from: `python -m export.publish restorer-fast
runs/restore/restorer-best.safetensors --record "..."`."""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path

from vs_remaster.errors import InputError
from vs_remaster.models import NETWORKS
from vs_remaster.system.inputs import sha256
from vs_remaster.weights import load_weights

FOLDER = Path(__file__).parent.parent / "weights"


def publish(name: str, source: Path, licence: str, record: str, folder: Path = FOLDER) -> Path:
    """Copy a weight file and enter it in the manifest.

    Args:
        name: network and variant, such as `restorer-fast`.
        source: a file written by `export/train.py`; it is loaded first, so a broken one is refused.
        licence: SPDX name of the weights' licence.
        record: how they were trained, in a sentence; the model card says more.

    Returns:
        The path of the copy.
    """
    network, _, variant = name.partition("-")
    if network not in NETWORKS or not variant:
        raise InputError(f"{name!r} does not name weights; use a network and a variant, such as restorer-fast")
    load_weights(source, network)
    target = folder / f"{name}.safetensors"
    part = target.with_suffix(".part")
    shutil.copyfile(source, part)
    part.replace(target)
    path = folder / "manifest.json"
    entries = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    entries[name] = {
        "file": target.name,
        "sha256": sha256(target),
        "network": network,
        "licence": licence,
        "training": record,
        "card": f"{name}.md",
    }
    part = path.with_suffix(".part")
    part.write_text(json.dumps(dict(sorted(entries.items())), indent=2) + "\n", encoding="utf-8")
    part.replace(path)
    return target


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name")
    parser.add_argument("source", type=Path)
    parser.add_argument("--licence", default="MIT")
    parser.add_argument("--record", required=True)
    arguments = parser.parse_args()
    publish(arguments.name, arguments.source, arguments.licence, arguments.record)
