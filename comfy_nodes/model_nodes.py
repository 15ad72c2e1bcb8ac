"""The nodes that choose models: what each shows on the page.

Node ids, input ids and their order are for ever: saved graphs name them.
"""

from __future__ import annotations

from typing import Any, ClassVar

from comfy_api.latest import io

from . import host, models, settings
from .library import errors
from .sockets import COLORIZER, RESTORER, Model, schema


def _inputs(network: str | None) -> list[io.Input]:
    told = "A restorer or a colorizer" if network is None else f"A {network}"
    return [
        io.Combo.Input(
            "model",
            options=models.names(network),
            tooltip=f"{told}: shipped weights, or a .safetensors file that export/train.py wrote, put into ComfyUI's "
            "models/remaster folder.",
        ),
        io.Combo.Input(
            "device",
            options=list(settings.DEVICES),
            default=settings.DEVICES[0],
            tooltip="auto: where ComfyUI works (CUDA and ROCm; other devices are not supported and mean the CPU); cpu: "
            "always there.",
        ),
        io.Combo.Input(
            "precision",
            options=list(settings.PRECISIONS),
            default=settings.PRECISIONS[0],
            tooltip="auto: fp16 on a GPU, bf16 on a CPU that computes in it, else fp32. fp16 is for GPUs only.",
        ),
    ]


class _Loader(io.ComfyNode):
    """Chooses weights, device and precision."""

    network: ClassVar[str | None] = None

    @classmethod
    @host.plain_errors
    def execute(cls, model: str, device: str, precision: str) -> io.NodeOutput:
        return io.NodeOutput(models.choose(model, device, precision))

    @classmethod
    def validate_inputs(cls, model: str | None = None) -> bool | str:
        """In place of ComfyUI's look into the list: saved graphs may have names from before."""
        return host.valid(lambda: model is None or models.check(model, cls.network))

    @classmethod
    def fingerprint_inputs(cls, model: str | None = None, **_: Any) -> Any:
        """A file that was replaced under the same name is another model."""
        try:
            path = models.path_of(model or "")
            return str(path), path.stat().st_mtime_ns
        except (errors.RemasterError, OSError):
            return model


class RemasterLoadRestorer(_Loader):
    """Chooses a restorer."""

    network = "restorer"

    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            "RemasterLoadRestorer",
            "Load Restorer",
            "restore, denoise, model, old film",
            description="Chooses the network that removes damage: shipped weights, or a file in models/remaster. "
            "Without this node the best one shipped is taken.",
            inputs=_inputs(cls.network),
            outputs=[
                io.Custom(RESTORER).Output(
                    "restorer", tooltip="For model of Restore Film, and restorer of Remaster Video."
                )
            ],
        )


class RemasterLoadColorizer(_Loader):
    """Chooses a colorizer."""

    network = "colorizer"

    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            "RemasterLoadColorizer",
            "Load Colorizer",
            "colorize, colourise, model, old film",
            description="Chooses the network that colours from references: shipped weights, or a file in "
            "models/remaster. Without this node the best one shipped is taken.",
            inputs=_inputs(cls.network),
            outputs=[
                io.Custom(COLORIZER).Output(
                    "colorizer", tooltip="For model of Reference Colorize, and colorizer of Remaster Video."
                )
            ],
        )


class RemasterLoadModel(_Loader):
    """Chooses a network of either kind, in graphs that were saved before there was a node for each."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            "RemasterLoadModel",
            "Load Remaster Model",
            "remaster model",
            description="Chooses a network for the Remaster nodes. For new graphs use Load Restorer and Load "
            "Colorizer, which fit the right inputs only.",
            inputs=_inputs(cls.network),
            outputs=[Model.Output("model", tooltip="For the model input of the other Remaster nodes.")],
            is_deprecated=True,
        )
