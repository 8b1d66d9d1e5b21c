"""Nodes, projected to what zone-loss detection needs, and the nodes on which the pods of a template may run."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

ZONE = "topology.kubernetes.io/zone"
"""The label with a node's zone: kubernetes.io, Well-Known Labels."""

_NAME_FIELD = "metadata.name"


@dataclass(frozen=True, slots=True)
class Node:
    """The record of a Node. zone: empty if it has none. ready: its condition Ready is True."""

    name: str
    zone: str
    ready: bool
    labels: Mapping[str, str]


class Requirement(NamedTuple):
    """One expression of a node selector term. key: a label, or `metadata.name` with `field`."""

    key: str
    operator: str
    values: tuple[str, ...] = ()
    field: bool = False


@dataclass(frozen=True, slots=True)
class Placement:
    """The nodes on which a template's pods may run: its nodeSelector and its required node affinity.

    terms: at least one must match, and a term matches if each of its requirements does. None: there is no affinity.
    """

    labels: tuple[tuple[str, str], ...] = ()
    terms: tuple[tuple[Requirement, ...], ...] | None = None


ANYWHERE = Placement()


def project_node(obj: Mapping[str, Any], old: Node | None = None) -> Node:
    """Project a Node to a record. Returns `old` if nothing changed, since nodes report every few seconds."""
    meta = obj["metadata"]
    labels = meta.get("labels") or {}
    ready = any(
        c.get("type") == "Ready" and c.get("status") == "True"
        for c in (obj.get("status") or {}).get("conditions") or ()
    )
    if old is not None and old.labels == labels and old.ready == ready:
        return old
    interned = {sys.intern(k): sys.intern(v) for k, v in labels.items()}
    return Node(meta["name"], interned.get(ZONE, ""), ready, interned)


def placement_of(template: Mapping[str, Any]) -> Placement:
    """The placement of a pod template. Ignores taints, preferences and free resources of the nodes."""
    spec = template.get("spec") or {}
    affinity = ((spec.get("affinity") or {}).get("nodeAffinity") or {}).get(
        "requiredDuringSchedulingIgnoredDuringExecution"
    )
    labels = tuple(sorted((spec.get("nodeSelector") or {}).items()))
    if not labels and not affinity:
        return ANYWHERE
    terms = None if not affinity else tuple(map(_term, affinity.get("nodeSelectorTerms") or ()))
    return Placement(labels, terms)


def _term(term: Mapping[str, Any]) -> tuple[Requirement, ...]:
    return tuple(
        Requirement(r["key"], r["operator"], tuple(r.get("values") or ()), field)
        for name, field in (("matchExpressions", False), ("matchFields", True))
        for r in term.get(name) or ()
    )


def allows(placement: Placement, node: Node) -> bool:
    """Whether pods of that placement may run on the node."""
    if any(node.labels.get(key) != value for key, value in placement.labels):
        return False
    # A term without any requirement matches nothing (core/v1 NodeSelectorTerm).
    return placement.terms is None or any(
        bool(term) and all(_meets(node, requirement) for requirement in term) for term in placement.terms
    )


def _meets(node: Node, requirement: Requirement) -> bool:
    key, operator, values, field = requirement
    found = (node.name if key == _NAME_FIELD else None) if field else node.labels.get(key)
    match operator:
        case "In":
            return found in values
        case "NotIn":
            return found not in values
        case "Exists":
            return found is not None
        case "DoesNotExist":
            return found is None
        case "Gt" | "Lt":
            try:
                one, other = int(found or ""), int(values[0])
            except (ValueError, IndexError):
                return False
            return one > other if operator == "Gt" else one < other
        case _:
            return False
