"""Weight files: safetensors, shipped with a manifest of their hashes, imported by the user, or given by their path."""

from __future__ import annotations

import hashlib
import json
import logging
import math
import re
import textwrap
import warnings
import zipfile
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch.overrides import TorchFunctionMode

from .errors import InputError
from .models import NETWORKS, build, config_json, network_name, task
from .models.network import Network
from .models.papers.published import RTN, published_state, recognise, rtn_entries
from .system import folders
from .system.files import make_folder, write_whole
from .system.inputs import check_input, sha256

log = logging.getLogger(__name__)

_PACKAGED = Path(__file__).parent / "_weights"
_CHECKOUT = Path(__file__).parent.parent / "weights"
_OFFICIAL = "-official"
_PUBLISHED_MD5 = "1219f5830e4a7208b1c7ba2f089a16c8"
_PUBLISHED = "deepremaster"
_RTN = "rtn"
_WANTED = "give the authors' remasternet.pth.tar (DeepRemaster) or net_G_200000.pth (RTN), whole and unchanged"
_AUTHORS = "github.com/satoshiiizuka/siggraphasia2019_remastering"
_RTN_AUTHORS = "github.com/raywzy/Bringing-Old-Films-Back-to-Life"
_RAFT_WANTED = "raft-sintel.pth or raft-things.pth of RAFT's authors (github.com/princeton-vl/RAFT)"
_NAME = r"[A-Za-z0-9_]+"
_FORMER = {"restorer-hairs": "fast"}  # shipped once, and what its name means now
_GONE = frozenset({"gate"})  # parts that restorers once had
_FACTORIES = (torch.empty, torch.zeros, torch.ones, torch.full, torch.rand, torch.randn)
_BESIDE = 1 << 24  # numbers of a network that are computed, or stand only for a moment
_MOST_BYTES = 4 << 30  # of the authors' files, the largest has 0.3


def folder() -> Path:
    """Where the shipped weights lie: inside the installed package, or `weights/` of a checkout."""
    return _PACKAGED if (_PACKAGED / "manifest.json").is_file() else _CHECKOUT


def user_folder() -> Path:
    """Where imported weights are kept, for every program of this user; it need not exist."""
    return folders.user_folder("data") / "weights"


def manifest() -> dict[str, dict]:
    """The shipped weights: name (`restorer-fast`) to file, sha256, network, licence and training record."""
    path = folder() / "manifest.json"
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputError(f"no weights are installed: {path} is missing; install the package again") from error


def find(network: str, model: str) -> Path:
    """The file for `model` of `network`: a shipped variant (`fast`, `quality`), an imported model (`deepremaster`,
    `rtn`), or the path of a weight file.

    Raises:
        InputError: there is no such variant or file, or a shipped file is damaged.
    """
    if Path(model).suffix == ".safetensors":
        if not Path(model).is_file():
            raise InputError(f"no weight file {model!r}; give the path of one, or the name of a shipped model")
        return Path(model)
    model = today(network, model)
    entry = manifest().get(f"{network}-{model}")
    if entry is None:
        return _find_imported(network, model)
    path = folder() / entry["file"]
    if not path.is_file() or sha256(path) != entry["sha256"]:
        raise InputError(f"the weights {path} are missing or damaged (sha256 differs); install the package again")
    return path


@cache  # it is said once
def today(network: str, model: str) -> str:
    """What the name of a model means now; said in a warning where it meant something else once."""
    name = f"{network}-{model}"
    if name not in _FORMER:
        return model
    log.warning(
        "there is no %s %s any more: %s is taken; paint hair that stays in the gate white in a mask for repair",
        network, model, _FORMER[name],
    )  # fmt: skip
    return _FORMER[name]


def _find_imported(network: str, model: str) -> Path:
    name = model.removesuffix(_OFFICIAL)
    path = user_folder() / f"{network}-{name}.safetensors"
    if re.fullmatch(_NAME, name) and path.is_file():
        if name != model and not _has_official(path):
            raise InputError(f"no {network} model {model!r}: only networks of DeepRemaster have one; use {name}")
        return path
    if name == _PUBLISHED:
        raise InputError(
            f"the weights of DeepRemaster are not in {user_folder()}: their licence (CC BY-NC-SA 4.0) keeps them from "
            f"being shipped; get your own copy of remasternet.pth.tar ({_AUTHORS}) and run: "
            "vs-remaster weights import remasternet.pth.tar"
        )
    if name == _RTN and network == "colorizer":
        raise InputError("no colorizer model 'rtn': RTN's authors published none; give the path of a trained one")
    if name == _RTN:
        raise InputError(
            f"the weights of RTN are not in {user_folder()}: they are for academic research only and cannot be "
            f"shipped; get your own copy of net_G_200000.pth ({_RTN_AUTHORS}) and run: "
            "vs-remaster weights import net_G_200000.pth"
        )
    names = " or ".join([*variants(network), _PUBLISHED, _RTN])
    raise InputError(f"no {network} model {model!r}; use {names}, or the path of a .safetensors file")


def _has_official(path: Path) -> bool:
    """Whether a network can also behave as it was published."""
    try:
        return _read(path, tensors=False)[0]["network"].startswith(_PUBLISHED)
    except InputError:  # said where it is loaded
        return False


def load_model(network: str, model: str) -> Network:
    """Load what `find` finds; the name of an imported model may end in `-official`: the published behaviour.

    Raises:
        InputError: there is no such model, or it does not fit.
    """
    shipped = Path(model).suffix == ".safetensors" or f"{network}-{model}" in manifest()
    official = model.endswith(_OFFICIAL) and not shipped
    return load_weights(find(network, model), network, **({"official": True} if official else {}))


def imported() -> list[str]:
    """Imported models as `restorer-deepremaster`; those of DeepRemaster also with `-official`."""
    paths = sorted(user_folder().glob("*-*.safetensors"))
    return [path.stem + end for path in paths for end in ("", *([_OFFICIAL] if _has_official(path) else []))]


def variants(network: str, *, former: bool = False) -> list[str]:
    """Names of the shipped variants of a network; with `former` those too that now mean another."""
    names = [*manifest(), *(_FORMER if former else ())]
    return [name.removeprefix(network + "-") for name in names if name.startswith(network + "-")]


def network_of(path: Path) -> str:
    """What the network in a weight file does: `restorer` or `colorizer`.

    Raises:
        InputError: not a file written by `save_weights`.
    """
    return task(_read(path, tensors=False)[0]["network"])


def takes_references(model: str) -> bool:
    """Whether a colorizer has a use for references; looks into its file, but does not load it.

    Raises:
        InputError: see `find`.
    """
    header, _ = _read(find("colorizer", model), tensors=False)
    known = NETWORKS.get(header["network"])
    return known is None or known[0].takes_references


def _read(path: Path, tensors: bool = True) -> tuple[dict[str, str], dict[str, torch.Tensor]]:
    """Header and, if wanted, tensors of a weight file."""
    try:
        with safe_open(str(path), "pt") as file:
            header = file.metadata() or {}
            state = {key: file.get_tensor(key).float() for key in file.keys()} if tensors else {}
    except (OSError, SafetensorError) as error:
        raise InputError(f"cannot read weights {str(path)!r}: {error}; give a .safetensors file") from error
    if "network" not in header:
        raise InputError(f"{str(path)!r} does not name its network; give a file written by export/train.py")
    return header, state


def _header(path: Path) -> tuple[dict[str, str], dict[str, tuple[int, ...]]]:
    """Header and shapes of the tensors of a weight file; no tensor is read."""
    header, _ = _read(path, tensors=False)
    try:
        with safe_open(str(path), "pt") as file:
            return header, {key: tuple(file.get_slice(key).get_shape()) for key in file.keys()}
    except (OSError, SafetensorError) as error:
        raise InputError(f"cannot read weights {str(path)!r}: {error}; give a .safetensors file") from error


def _settings(stored: str | None, instead: dict[str, int], without: frozenset[str]) -> str | None:
    """Hyper-parameters as JSON with others in place of some and without those that are no more; what is no JSON is for
    `build` to say."""
    try:
        held = json.loads(stored or "{}")
    except (ValueError, RecursionError):
        return stored
    if not isinstance(held, dict):
        return stored
    return json.dumps({key: value for key, value in held.items() if key not in without} | instead)


class _Room(TorchFunctionMode):
    """Where networks are built that have as many numbers as a file, or a few more that are none of its weights: a file
    of some bytes can ask for any number of gigabytes."""

    def __init__(self, numbers: int) -> None:
        super().__init__()
        self._left = numbers + _BESIDE

    def __torch_function__(self, func: Any, types: Any, args: tuple = (), kwargs: dict[str, Any] | None = None) -> Any:
        if func in _FACTORIES:
            size = (kwargs or {}).get("size", args[0] if args and not isinstance(args[0], int) else args)
            self._left -= math.prod(size)
            if self._left < 0:
                raise ValueError("it needs more numbers than the file has")
        return func(*args, **(kwargs or {}))


def load_weights(path: Path, network: str | None = None, **config: int) -> Network:
    """Load a weight file into the network that its header names, in float32, ready for inference.

    Args:
        path: a `.safetensors` file written by `save_weights`.
        network: refuse the file when it holds another network than this, or one that does something else.
        config: hyper-parameters in place of those in the header.

    Raises:
        InputError: not a weight file, another network, or tensors that do not fit.
    """
    header, shapes = _header(path)
    held = header["network"]
    if network and network not in (held, task(held)):
        raise InputError(f"{str(path)!r} holds a {held}, not a {network}; give weights of a {network}")
    gone = _GONE if held == "restorer" else frozenset()
    if unused := {key for key in shapes if key.split(".")[0] in gone}:
        log.warning("%s has a part that restorers have no more (for hairs in the gate); it is not used", path)
    shapes = {key: shape for key, shape in shapes.items() if key not in unused}
    if held == "restorer":  # a file from before there were these parts does not name them
        parts = {key.split(".")[0] for key in shapes}
        config = {part: 0 for part in ("far", "need") if part not in parts} | config
    if held == "sharpener" and not any(key.startswith("finer.") for key in shapes):
        config = {"finer": 0} | config
    numbers = sum(math.prod(shape) for shape in shapes.values())
    with _Room(numbers):
        net = build(held, _settings(header.get("config"), config, gone))
    own = sum(value.numel() for value in net.state_dict().values())
    if numbers > 2 * own:
        raise InputError(
            f"weights {str(path)!r} do not fit network {held!r}: they are {numbers} numbers, the network has {own}"
        )
    _, state = _read(path)
    try:
        net.load_state_dict({key: value for key, value in state.items() if key not in unused})
    except RuntimeError as error:
        first = str(error).splitlines()[1].strip() if "\n" in str(error) else str(error)
        first = textwrap.shorten(first, 300, placeholder=" ...")  # a whole network may be missing
        raise InputError(f"weights {str(path)!r} do not fit network {header['network']!r}: {first}") from error
    return net.eval().requires_grad_(False)


def save_weights(
    path: Path, net: Network, state: dict[str, torch.Tensor] | None = None, dtype: torch.dtype = torch.float16
) -> None:
    """Write a network (or `state`, such as an EMA of it) in half precision or in `dtype`, in the place of what is
    there, whole or not at all."""
    state = state or net.state_dict()
    stored = {
        key: value.detach().to("cpu", dtype if value.is_floating_point() else value.dtype).contiguous()
        for key, value in state.items()
    }
    write_whole(path, save(stored, {"network": network_name(net), "config": config_json(net)}))


def import_published(
    path: Path, name: str | None = None, flow: Path | None = None, *, overwrite: bool = False
) -> list[Path]:
    """Take over the authors' weights of DeepRemaster or RTN, or others trained with their code, for this user.

    Args:
        path: `remasternet.pth.tar` or `net_G_200000.pth`, or a file like them: a dictionary with `modelR` and
            `modelC`, or with `netG`. Which it is shows in what it holds.
        name: what `model` will call them: letters, digits, `_`; None: `deepremaster` or `rtn`.
        flow: weights of RAFT, such as `raft-sintel.pth`, in place of those inside RTN's file.
        overwrite: replace weights that have been imported under this name.

    Returns:
        The files written into `user_folder()`, in float32 as they were: of DeepRemaster two, of RTN one.

    Raises:
        InputError: not such a file, no weights of RAFT, or a name that cannot be used or is taken. UnsupportedError:
            RTN without the package torchvision, which has RAFT.
    """
    taken = {"auto", *(name for network in ("restorer", "colorizer") for name in variants(network, former=True))}
    if name is not None and (not re.fullmatch(_NAME, name) or name in taken):
        shipped = ", ".join(sorted(taken))
        raise InputError(f"cannot name weights {name!r}; use letters, digits and _, but none of {shipped}")
    for file in (path, *([flow] if flow else [])):
        check_input(file)
    stored = _unpickle(path, _WANTED)
    kind = recognise(stored)
    if kind == "raft":
        raise InputError(f"{str(path)!r} holds RAFT alone; give RTN's file, and this one after --flow if it has none")
    if flow is not None and kind == _PUBLISHED:
        raise InputError(f"{str(path)!r} holds DeepRemaster, which needs no optical flow; leave --flow out")
    found = _rtn(path, stored, flow) if kind == _RTN else _deepremaster(path, stored)
    if kind == _PUBLISHED and name in (None, _PUBLISHED):
        _check_md5(path)
    target = user_folder()
    files = [target / f"{task(network_name(net))}-{name or kind}.safetensors" for net, _ in found]
    if there := [str(file) for file in files if file.exists() and not overwrite]:
        raise InputError(
            f"weights are imported under the name {name or kind} already ({there[0]}): give another one (--as NAME), "
            "or --overwrite"
        )
    make_folder(target)
    for file, (net, state) in zip(files, found, strict=True):
        save_weights(file, net, state, torch.float32)
    return files


def _deepremaster(path: Path, stored: dict) -> list[tuple[Network, dict[str, torch.Tensor]]]:
    networks = [build("deepremaster-restorer"), build("deepremaster-colorizer")]
    try:
        return [(net, published_state(net, stored[key])) for net, key in zip(networks, ("modelR", "modelC"))]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        what = f"{error.args[0]} is missing" if isinstance(error, KeyError) else error
        raise InputError(
            f"{str(path)!r} does not hold the networks of DeepRemaster or RTN: {what}; {_WANTED}"
        ) from error


def _rtn(path: Path, stored: dict, flow: Path | None) -> list[tuple[Network, dict[str, torch.Tensor]]]:
    raft = None if flow is None else _unpickle(flow, f"give {_RAFT_WANTED}")
    try:
        entries = rtn_entries(stored, raft)
    except (ValueError, TypeError, AttributeError) as error:
        at, wanted = (path, _WANTED) if flow is None else (flow, f"give {_RAFT_WANTED}")
        raise InputError(f"{str(at)!r} is not what was expected: {error}; {wanted}") from error
    if not any(key.startswith("flow.") for key in entries):
        raise InputError(f"{str(path)!r} holds RTN without its optical flow; add it: --flow FILE, with {_RAFT_WANTED}")
    net = build("rtn-restorer", json.dumps(asdict(RTN)))
    try:
        return [(net, published_state(net, entries))]
    except (ValueError, TypeError, AttributeError) as error:
        raise InputError(f"{str(path)!r} does not fit RTN: {error}; {_WANTED}") from error


def _check_md5(path: Path) -> None:
    with path.open("rb") as file:
        md5 = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    if md5 != _PUBLISHED_MD5:
        log.warning("%s fits, but is not the published file: its md5 is %s, not %s", path, md5, _PUBLISHED_MD5)


def _unpickle(path: Path, wanted: str) -> dict:
    """What a file of `torch.save` holds, tensors and plain containers only: nothing in it is run."""
    try:
        if path.stat().st_size > _MOST_BYTES or _swells(path):
            raise InputError(f"{str(path)!r} is larger than any file of weights that is known; {wanted}")
        with warnings.catch_warnings(action="ignore"):  # what torch thinks of the way it was pickled
            return torch.load(path, map_location="cpu", weights_only=True)
    except InputError:
        raise
    except OSError as error:
        raise InputError(f"cannot read {str(path)!r}: {error.strerror or error}; {wanted}") from error
    except Exception as error:  # whatever a file that is none of ours makes torch or pickle say
        raise InputError(f"{str(path)!r} is no file of torch weights, or it is damaged; {wanted}") from error


def _swells(path: Path) -> bool:
    """Whether a file is an archive that holds more than it has bytes: PyTorch packs nothing."""
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return sum(entry.file_size for entry in archive.infolist()) > path.stat().st_size
