"""Graphs for one size of film: what only works out sizes is worked out once, and leaves the graph.

An exported graph takes pictures of every size, and most of its operators reckon with shapes. On a GPU the convolutions
wait for them.
"""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

from ..errors import InputError
from ..models.colorizer import ColorizerNet
from ..models.fill import Fill
from ..models.network import Network
from ..models.restorer import RestorerNet
from ..models.sharpener import SharpenerNet
from .ort import graph_package, runtime

_OF_FILM = re.compile(r"(height|width|frames|seen)\b")


def film_sizes(net: Network | Fill, height: int, width: int, frames: int) -> dict[str, int]:
    """The dimensions of a network's graphs by name, where a film has pictures of one size.

    Args:
        net: a restorer, sharpener or colorizer of ours.
        height, width: lines and columns, multiples of what the network takes.
        frames: how many are made at once, at least 1.

    Raises:
        InputError: another network, or a size that does not fit.
    """
    if not isinstance(net, RestorerNet | SharpenerNet | ColorizerNet):
        raise InputError("only graphs of our restorer, sharpener and colorizer can be made for one size; leave it out")
    multiple = net.multiple_of
    if min(height, width) < 1 or height % multiple or width % multiple or frames < 1:
        raise InputError(
            f"got {width}x{height} pixels and {frames} frames at once; both sides have to be multiples of {multiple} "
            "(repeat the last lines and columns), and the frames at least 1"
        )
    sides = {"height": height, "width": width}
    parts = {f"{name}/{n}": side // n for name, side in sides.items() for n in (2, 4, 8)}
    window = {"frames": net.before + frames + net.after}
    if isinstance(net, RestorerNet):
        window["seen"] = net.spatial_radius + frames + net.spatial_radius
    return sides | parts | window


def sizes_of(file: bytes, shapes: dict[str, tuple[int, ...]]) -> dict[str, int]:
    """The dimensions of a graph by name that inputs of these shapes have, but for those that references decide."""
    inputs = graph_package().load_from_string(file).graph.input
    named = ((x.dim_param, n) for one in inputs for x, n in zip(one.type.tensor_type.shape.dim, shapes[one.name]))
    return {name: n for name, n in named if _OF_FILM.match(name)}


def folded(file: bytes, sizes: dict[str, int] | None = None) -> bytes:
    """A graph without the operators whose results are known beforehand: ONNX Runtime's basic optimizations, which use
    operators of ONNX only.

    Args:
        file: the graph.
        sizes: dimensions by name that are to have these sizes from now on.

    Raises:
        UnsupportedError: onnxruntime or onnx is missing.
    """
    ort, onnx = runtime(), graph_package()
    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.enable_mem_reuse = False  # nothing is run, and planning takes long where there are thousands of operators
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
    for name, size in (sizes or {}).items():
        options.add_free_dimension_override_by_name(name, size)
    with tempfile.TemporaryDirectory() as folder:
        options.optimized_model_filepath = str(Path(folder, "graph.onnx"))
        ort.InferenceSession(file, options, providers=["CPUExecutionProvider"])
        made = onnx.load(options.optimized_model_filepath)
    given = onnx.load_from_string(file)
    del made.opset_import[:], made.metadata_props[:]  # it names the domains of all operators that it knows
    made.opset_import.extend(given.opset_import)
    made.metadata_props.extend(given.metadata_props)
    onnx.checker.check_model(made, full_check=True)
    return made.SerializeToString()
