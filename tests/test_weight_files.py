"""Weight files that ask for more than they hold."""

from __future__ import annotations

import json
import pickle
import resource
import zipfile

import pytest
import torch
from safetensors.torch import save_file

from vs_remaster.errors import InputError
from vs_remaster.models import NETWORKS, build
from vs_remaster.weights import _Room, import_published, load_weights, save_weights

FILE = {
    "restorer": {"widths": [1024, 1024, 1024], "middle": 1024},
    "colorizer": {"width8": 1024, "width4": 1024, "key": 1024},
    "palette-colorizer": {"widths": [1024] * 4, "colors": 1024},
    "deepremaster-restorer": {"width": 4.0},
    "rtn-restorer": {"embedding": 1024, "hidden": 1024, "expansion": 1024},
}


@pytest.mark.parametrize("network", FILE)
def test_a_small_file_with_a_huge_network_takes_no_memory(tmp_path, network):
    path = tmp_path / "a.safetensors"
    save_file({"a": torch.zeros(4)}, path, {"network": network, "config": json.dumps(FILE[network])})
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(InputError, match=r"needs more numbers than the file has|do not fit"):
        load_weights(path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300_000  # KiB


@pytest.mark.parametrize(
    "config",
    ['{"widths": [100000, 100000, 100000]}', '{"middle": 1000000000}', '{"tone": 1e308}', '{"widths": [[1], [2], [3]]}',
     '{"encoder": [-1, -2]}', '{"widths": []}', '{"tone": null}', "[1]", "{", "[" * 100_000, '"text"',
     '{"tone": 0}', '{"far": -5}', '{"decoder": [1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1]}'],
)  # fmt: skip
def test_nonsense_in_a_configuration_gives_one_line(tmp_path, config):
    path = tmp_path / "a.safetensors"
    save_file({"a": torch.zeros(4)}, path, {"network": "restorer", "config": config})
    with pytest.raises(InputError) as caught:
        load_weights(path, "restorer")
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 800


@pytest.mark.parametrize("network", NETWORKS)
def test_every_network_fits_into_the_room_of_its_own_file(network):
    net = build(network)
    with _Room(sum(value.numel() for value in net.state_dict().values())):
        build(network)


def test_a_large_file_for_a_small_network_is_not_read(tmp_path):
    net = build("restorer")
    save_weights(tmp_path / "a.safetensors", net, {**net.state_dict(), "more": torch.zeros(20_000_000)})
    with pytest.raises(InputError, match=r"do not fit network 'restorer': they are 2\d+ numbers, the network has"):
        load_weights(tmp_path / "a.safetensors")


def test_an_archive_that_swells_is_not_imported(tmp_path):
    path = tmp_path / "a.pth"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/data.pkl", pickle.dumps({}))
        archive.writestr("a/data/0", bytes(50 << 20))
    with pytest.raises(InputError, match="larger than any file of weights that is known"):
        import_published(path)
