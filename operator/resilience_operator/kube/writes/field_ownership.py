"""Gives up the ownership of fields after the operator has written them.

Each write makes its author an owner of the fields that it changed (`metadata.managedFields`). The next server-side
apply of the object's own manifest (Helm 4, Flux, Argo CD) would then be refused for a conflict with this operator, or
would keep restored fields that the manifest no longer has.
https://kubernetes.io/docs/reference/using-api/server-side-apply/#transferring-ownership

- A restored template goes back to the manager that had it before.
- So does restored data of a ConfigMap or a Secret.
- A size (`replicas`, `minReplicas`) is left to nobody. The previous owner would reset it to its default by removing
  it from the manifest. Only a server-side apply can conflict, so it is given up only if somebody applies the object
  that way.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from resilience_operator.decision.model.target import MANAGER

Entry = dict[str, Any]
Fields = dict[str, Any]
"""FieldsV1: a tree whose keys are `f:NAME`, `k:KEY` or `v:VALUE`, and `.` for the field itself."""

REPLICAS, MIN_REPLICAS = "f:replicas", "f:minReplicas"
"""Fields of `spec` that are a size."""

DATA = ("f:data", "f:binaryData")
"""Fields of a ConfigMap or a Secret."""

_APPLY = "Apply"


def hand_back(managed_fields: Sequence[Mapping[str, Any]] | None, manager: str = MANAGER) -> list[Entry] | None:
    """Return the managed fields without the template and the size that `manager` owns; None if it owns neither.

    The manager's other fields stay its own.
    """
    without_template = _template_returned(managed_fields, manager)
    found = managed_fields if without_template is None else without_template
    for field in (REPLICAS, MIN_REPLICAS):
        found = given_up(found, field, manager) or found
    return None if found is managed_fields else [dict(entry) for entry in found or ()]


def data_returned(
    managed_fields: Sequence[Mapping[str, Any]] | None,
    before: Sequence[Mapping[str, Any]] | None,
    manager: str = MANAGER,
) -> list[Entry] | None:
    """Return the managed fields of a ConfigMap or Secret without the data that `manager` owns; None if it owns none.

    The data goes back to the manager that applied the object last, or else to nobody. before: the managed fields before
    the write, as the API server removes a manager whose only fields were overwritten.
    """
    given: Fields = {}
    kept: list[Entry] = []
    for entry in managed_fields or ():
        fields = entry.get("fieldsV1") or {}
        data = {key: fields[key] for key in DATA if key in fields}
        if entry.get("manager") != manager or not data:
            kept.append(dict(entry))
            continue
        given = _union(given, data)
        if rest := {key: value for key, value in fields.items() if key not in DATA}:
            kept.append({**entry, "fieldsV1": rest})
    if not given:
        return None
    applied = [e for e in (*kept, *(before or ())) if e.get("operation") == _APPLY and e.get("manager") != manager]
    if applied:
        last = max(applied, key=lambda entry: str(entry.get("time") or ""))
        owner = next((e for e in kept if _identity(e) == _identity(last)), None)
        if owner is None:
            owner = {**last, "fieldsV1": {}}
            kept.append(owner)
        owner["fieldsV1"] = _union(owner.get("fieldsV1") or {}, given)
    return kept


def _identity(entry: Mapping[str, Any]) -> tuple[object, ...]:
    return entry.get("manager"), entry.get("operation"), entry.get("subresource"), entry.get("apiVersion")


def owns_template(managed_fields: Sequence[Mapping[str, Any]] | None, manager: str = MANAGER) -> bool:
    """Return whether `manager` owns fields of the template."""
    return any(_is(e, manager) and _template_fields(e) is not None for e in managed_fields or ())


def is_applied(managed_fields: Sequence[Mapping[str, Any]] | None, manager: str = MANAGER) -> bool:
    """Return whether another manager applies the object server-side."""
    return any(e.get("operation") == _APPLY and e.get("manager") != manager for e in managed_fields or ())


def owns_size(managed_fields: Sequence[Mapping[str, Any]] | None, field: str, manager: str = MANAGER) -> bool:
    """Return whether `manager` owns a size of an object that another manager applies server-side."""
    owned = any(e.get("manager") == manager and field in _spec(e) for e in managed_fields or ())
    return owned and is_applied(managed_fields, manager)


def given_up(
    managed_fields: Sequence[Mapping[str, Any]] | None, field: str, manager: str = MANAGER
) -> list[Entry] | None:
    """Return the managed fields without a size that `manager` owns; None if no apply could conflict with it.

    The size may be recorded with the subresource through which it was written.
    """
    if not owns_size(managed_fields, field, manager):
        return None
    kept: list[Entry] = []
    for entry in managed_fields or ():
        if entry.get("manager") != manager or field not in _spec(entry):
            kept.append(dict(entry))
        elif rest := _without(entry["fieldsV1"], field):
            kept.append({**entry, "fieldsV1": rest})
    return kept


def _template_returned(managed_fields: Sequence[Mapping[str, Any]] | None, manager: str) -> list[Entry] | None:
    """Return the managed fields with the template owned by its previous manager; None if `manager` does not own any.

    The new owner is the manager that applied the template last, or else the one that updated it last. If there is no
    other, nobody owns it.
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
        rest = _without(entry["fieldsV1"], "f:template")
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


def _spec(entry: Mapping[str, Any]) -> Fields:
    found = (entry.get("fieldsV1") or {}).get("f:spec")
    return found if isinstance(found, dict) else {}


def _without(fields: Fields, field: str) -> Fields:
    """Return the fields without one of `spec`."""
    spec = {key: value for key, value in fields["f:spec"].items() if key != field}
    rest = {key: value for key, value in fields.items() if key != "f:spec"}
    return {**rest, "f:spec": spec} if spec.keys() - {"."} else rest


def _union(one: Fields, other: Fields) -> Fields:
    """Return the fields of both trees."""
    found = dict(one)
    for key, below in other.items():
        mine = found.get(key)
        found[key] = _union(mine, below) if isinstance(mine, dict) and isinstance(below, dict) else below
    return found
