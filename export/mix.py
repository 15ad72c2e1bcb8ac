"""Weights between those of two trainings of one network: `python -m export.mix A.safetensors B.safetensors 0.9 --out
MIXED.safetensors` is 0.1 of A and 0.9 of B, weight by weight.

Where B went on from A, what lies between often keeps the strengths of both (Wortsman et al., Robust fine-tuning of
zero-shot models, CVPR 2022).
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import torch

from vs_remaster.errors import InputError, RemasterError
from vs_remaster.models import config_json, network_name
from vs_remaster.models.network import Network
from vs_remaster.system.files import check_replaceable
from vs_remaster.weights import load_weights, save_weights


@torch.no_grad()
def mix(first: Network, second: Network, share: float) -> Network:
    """The first network with weights between its own and those of the second, which has the given share.

    Raises:
        InputError: they are not of one network and size, or the share is not from 0 to 1.
    """
    if not 0 <= share <= 1:
        raise InputError(f"the second network's share must be from 0 to 1, got {share}; 0.5 is half way")
    kinds = [f"{network_name(net)} {config_json(net)}" for net in (first, second)]
    if kinds[0] != kinds[1]:
        raise InputError(f"cannot mix {' and '.join(kinds)}: give two trainings of one network of one size")
    for own, other in zip(first.state_dict().values(), second.state_dict().values()):
        if own.is_floating_point():
            own.lerp_(other, share)
    return first


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("first", type=Path)
    parser.add_argument("second", type=Path)
    parser.add_argument("share", type=float, help="of the second, 0 to 1")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--overwrite", action="store_true", help="replace OUT")
    options = parser.parse_args()
    try:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        check_replaceable(options.out, options.overwrite)
        nets = (load_weights(path) for path in (options.first, options.second))
        save_weights(options.out, mix(*nets, options.share))
    except RemasterError as error:
        sys.exit(f"export.mix: {error}")


if __name__ == "__main__":
    main()
