"""The signal `zone-lost`: the number of zones in which a target's pods could run and no node is ready."""

from __future__ import annotations

from collections.abc import Iterable

from resilience_operator.decision.model.observation import Measured, Observation
from resilience_operator.kube.cache.nodes import Node, Placement, allows
from resilience_operator.signals import reasons


def lost_zones(nodes: Iterable[Node], placement: Placement) -> tuple[set[str], set[str]]:
    """The zones with a node on which the pods could run, and the subset in which no such node is ready."""
    zones: set[str] = set()
    alive: set[str] = set()
    for node in nodes:
        if node.zone and (node.zone not in alive or node.zone not in zones) and allows(placement, node):
            zones.add(node.zone)
            if node.ready:
                alive.add(node.zone)
    return zones, zones - alive


def lost_zones_observation(nodes: Iterable[Node], placement: Placement, now: float) -> Observation:
    """The number of lost zones, and the factor by which the other zones must scale: zones / remaining zones.

    If every zone is lost there is no factor: there is nowhere to run, or the nodes' heartbeats do not arrive.
    now: seconds since the epoch.
    """
    zones, lost = lost_zones(nodes, placement)
    if not zones:
        message = "no node on which the pods could run has the label topology.kubernetes.io/zone"
        return Observation.unknown(now, reasons.NO_ZONES, f"zone-lost: {message}")
    if not lost:
        return Observation(now, Measured(0.0))
    remaining = len(zones) - len(lost)
    return Observation(
        now,
        Measured(float(len(lost))),
        message=f"{', '.join(sorted(lost))} of {len(zones)} zones",
        replica_factor=len(zones) / remaining if remaining else None,
    )
