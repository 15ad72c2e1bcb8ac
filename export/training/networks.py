"""The networks of a training, which are kept by what they do (`restorer`, `colorizer`)."""

from __future__ import annotations

from torch import nn

from vs_remaster.models.network import Network


def network_in[Net: Network](nets: nn.ModuleDict, kind: type[Net]) -> Net:
    """The network of a class among those that are trained; there is one."""
    (net,) = (net for net in nets.values() if isinstance(net, kind))
    return net
