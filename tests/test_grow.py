"""Trained networks made larger or mixed: what they return, and that all that is new in them learns."""

from __future__ import annotations

import json

import pytest
import torch
from torch import nn

from export.mix import mix
from export.training.grow import grow
from vs_remaster.errors import InputError
from vs_remaster.models import build
from vs_remaster.weights import find, load_weights


def restored(net, luma):
    return net(luma)[:4]


def colored(net, luma):
    generator = torch.Generator().manual_seed(5)
    pictures = [(torch.rand(1, 1, 48, 64, generator=generator), torch.rand(1, 2, 48, 64, generator=generator) - 0.5)]
    pictures = [tuple(x.to(luma) for x in picture) for picture in pictures]
    return net(luma, [net.encode_all(pictures * 2)])[:5]


@pytest.mark.parametrize(
    "network, config, run, learns",
    [
        (
            "restorer",
            {"widths": [32, 48, 100], "encoder": [2, 3], "middle": 5, "decoder": [2, 2]},
            restored,
            {"enc1.blocks.1.conv2.weight": 0.9, "dec1.blocks.1.conv1.weight": 0.9},
        ),
        ("colorizer", {"width8": 72, "width4": 60}, colored, {"mix8.weight": 0.9}),
        ("colorizer", {"half": 24}, colored, {"mix8.weight": 0.9, "detail.head.weight": 0.9, "detail.mix.weight": 0.5}),
    ],
)
def test_a_grown_network_does_the_same_and_learns_with_all_it_has(network, config, run, learns):
    small = load_weights(find(network, "fast"), network).eval()
    if network == "restorer":
        nn.init.constant_(small.need[4].bias, 30.0)  # where 1/8 is wider, what is to be done is found differently
    large = grow(small, json.dumps(config)).double().eval()
    small.double()
    assert sum(p.numel() for p in large.parameters()) > 1.04 * sum(p.numel() for p in small.parameters())
    luma = torch.rand(1, 5, 1, 48, 64, generator=torch.Generator().manual_seed(1)).double()
    with torch.inference_mode():
        pairs = list(zip(run(small, luma), run(large, luma)))
    assert all(torch.allclose(a, b, atol=2e-5) for a, b in pairs)
    assert all(a.std() > 1e-4 for a, _ in pairs[:3])  # of something, not of nothing
    before = {name: value.detach().clone() for name, value in large.named_parameters()}
    optimizer = torch.optim.SGD(large.requires_grad_(True).parameters(), 0.1)
    for _ in range(3):  # a step to listen to what is new, one for it to be heard, one to be moved
        optimizer.zero_grad()
        sum(x.square().mean() for x in run(large, luma)).backward()
        torch.nn.utils.clip_grad_norm_(large.parameters(), 1.0)
        optimizer.step()
    moved = {name: (value != before[name]).float().mean() for name, value in large.named_parameters()}
    assert all(moved[name] > share for name, share in learns.items()), moved


def test_a_restorer_that_learns_what_is_to_be_done_begins_with_next_to_all():
    small = build("restorer", '{"need": 0}').eval()
    with torch.no_grad():
        small.head.weight.mul_(10)
        small.head.bias[8:] = -30.0  # no dirt, under which the residual would not be seen
    luma = torch.rand(1, 5, 1, 64, 80, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        change, grown = (net(luma).luma - luma for net in (small, grow(small, '{"need": 16}').eval()))
    assert torch.allclose(grown, change, atol=change.abs().max().item() / 400) and change.abs().max() > 0.05


def test_a_second_tone_part_begins_as_a_copy_of_the_first():
    small = build("restorer", '{"far": 0}')
    large = grow(small, '{"far": 3}')
    assert (small.before, large.before) == (8, 20) and [part.step for part in large.tones] == [1, 3]
    pairs = zip(small.tone.parameters(), large.far.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)


@pytest.mark.parametrize(
    "network, config, message",
    [
        ("restorer", {"widths": [16, 48, 96]}, "a width of 24 cannot become 16"),
        ("restorer", {"middle": 2}, "at least as many blocks"),
        ("restorer", {"far": 4}, "far is 3 and would be 4; leave it out"),
        ("restorer", {"shift": False}, "shift would be False; only widths"),
        ("restorer", [1], "is no JSON of hyper-parameters"),
        ("restorer", {"tone": 48}, "only widths and numbers of blocks can grow"),
        ("colorizer", {"key": 96}, "only widths and numbers of blocks can grow"),
        ("colorizer", {"half": 24, "local": False}, "nothing can be matched at 1/2; set half to 0"),
        ("deepremaster-restorer", {"width": 0.25}, "a deepremaster-restorer cannot be grown"),
    ],
)
def test_what_cannot_grow_is_refused(network, config, message):
    small = build(network, json.dumps({"width": 0.125}) if network.startswith("deep") else None)
    with pytest.raises(InputError, match=message):
        grow(small, json.dumps(config))


def test_weights_half_way_between_two_trainings():
    first, second = build("restorer"), build("restorer")
    expected = {key: (value + second.state_dict()[key]) / 2 for key, value in first.state_dict().items()}
    mixed = mix(first, second, 0.5).state_dict()
    assert all(torch.allclose(mixed[key], value, atol=1e-6) for key, value in expected.items())
    with pytest.raises(InputError, match=r"share must be from 0 to 1, got 1\.5"):
        mix(first, second, 1.5)
    with pytest.raises(InputError, match="two trainings of one network of one size"):
        mix(first, build("restorer", json.dumps({"middle": 5})), 0.5)
