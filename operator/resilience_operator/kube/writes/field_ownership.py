"""Returns the ownership of restored fields to the field manager that had them before.

Each write makes its author an owner of the fields that it changed (`metadata.managedFields`). After a rollback that
would be this operator. The next server-side apply of the workload's own manifest (Helm 4, Flux, Argo CD) would then be
refused for a conflict, or would keep restored fields that the manifest no longer has. So the operator gives them back:
https://kubernetes.io/docs/reference/using-api/server-side-apply/#transferring-ownership
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from resilience_operator.decision.model.target import MANAGER

Entry = dict[str, Any]
Fields = dict[str, Any]
"""FieldsV1: a tree whose keys are `f:NAME`, `k:KEY` or `v:VALUE`, and `.` for the field itself."""

_APPLY = "Apply"


def hand_back(managed_fields: Sequence[Mapping[str, Any]] | None, manager: str = MANAGER) -> list[Entry] | None:
    """Return the managed fields with the template owned by its previous manager; None if `manager` does not own any.

    The new owner is the manager that applied the template last, or else the one that updated it last. If there is no
    other, nobody owns it. The manager's other fields stay its own.
    """
    entries = [dict(entry) for entry in managed_fields or ()]
    given: Fields = {}
    kept: list[Entry] = []
    for entry in entries:
        template = _template_fields(entry) if _is(entry, manager) else None
        if template is None:
            kept.append(entry)
            continue
        given = _union(given, template)
        rest = _without_template(entry["fieldsV1"])
        if rest:
            kept.append({**entry, "fieldsV1": rest})
    if not given:
        return None
    others = [entry for entry in kept if not _is(entry, manager) and _template_fields(entry) is not None]
    if others:
        owner = max(others, key=lambda entry: (entry.get("operation") == _APPLY, str(entry.get("time") or "")))
        owner["fieldsV1"] = _union(owner["fieldsV1"], {"f:spec": {"f:template": given}})
    return kept


def _template_fields(entry: Mapping[str, Any]) -> Fields | None:
    """Return the fields of the pod template in one entry; None if there are none."""
    found: Any = entry.get("fieldsV1")
    for key in ("f:spec", "f:template"):
        found = found.get(key) if isinstance(found, dict) else None
    return found if isinstance(found, dict) else None


def _is(entry: Mapping[str, Any], manager: str) -> bool:
    return entry.get("manager") == manager and not entry.get("subresource")


def _without_template(fields: Fields) -> Fields:
    spec = {key: value for key, value in fields["f:spec"].items() if key != "f:template"}
    rest = {key: value for key, value in fields.items() if key != "f:spec"}
    return {**rest, "f:spec": spec} if spec.keys() - {"."} else rest


def _union(one: Fields, other: Fields) -> Fields:
    """Return the fields of both trees."""
    found = dict(one)
    for key, below in other.items():
        mine = found.get(key)
        found[key] = _union(mine, below) if isinstance(mine, dict) and isinstance(below, dict) else below
    return found
