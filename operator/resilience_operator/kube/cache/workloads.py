"""What all workloads share: fingerprints of pod templates, who wrote which field, and the trimmed records.

An object of the API is some 5 to 20 kB of JSON, of which deciding needs a dozen fields. The records below are
what is kept of it, for ten thousand targets at once: slots, interned strings, a digest in place of a template.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from resilience_operator.kube.cache.nodes import ANYWHERE, Placement, placement_of
from resilience_operator.kube.cache.selectors import NOTHING, Selector, selector_of

Obj = dict[str, Any]

POD_TEMPLATE_HASH = "pod-template-hash"

MOST_REPLICAS = 2**31 - 1
"""The largest int32, in which the API keeps numbers of pods."""


@dataclass(frozen=True, slots=True)
class FieldManagers:
    """The field manager that last wrote each of these, empty when not known."""

    paused: str = ""
    template: str = ""
    replicas: str = ""


NOBODY = FieldManagers()


@dataclass(frozen=True, slots=True)
class Workload:
    """What is kept of a Deployment, a StatefulSet or a DaemonSet.

    generation, observed: the version of `spec`, and the one that the controller's status speaks of.
    template: the digest of the pod template. selector: which pods and revisions are its own.
    replicas: what `spec.replicas` asks for. total, updated, ready: pods of any revision, of the newest, and
        those that are ready, as the controller counts them.
    current, newest: a StatefulSet's revisions by name (`status.currentRevision`, `status.updateRevision`).
    placement: on which nodes its pods may run.
    """

    kind: str
    namespace: str
    name: str
    uid: str
    resource_version: str
    generation: int
    observed: int
    template: str
    replicas: int
    total: int
    updated: int
    ready: int
    paused: bool = False
    progress_deadline_exceeded: bool = False
    current: str = ""
    newest: str = ""
    writers: FieldManagers = NOBODY
    placement: Placement = ANYWHERE
    selector: Selector = NOTHING


def template_digest(template: Mapping[str, Any]) -> str:
    """A digest of a pod template: 32 hexadecimal digits, equal for a workload's template and its revision's.

    Leaves out the label that the controller adds to a ReplicaSet's, as the controller does when it compares
    (`EqualIgnoreHash` in pkg/controller/deployment/util). The API server fills in defaults and canonical
    forms whenever it answers, so two templates that mean the same read the same.
    """
    bare = normalized_template(template)
    text = json.dumps(bare, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return sys.intern(hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest())


def normalized_template(template: Mapping[str, Any]) -> Obj:
    """The template as the workload's own would be: without what a controller put into its revision's copy."""
    metadata = {key: value for key, value in (template.get("metadata") or {}).items() if value}
    if POD_TEMPLATE_HASH in metadata.get("labels", ()):
        metadata["labels"] = {k: v for k, v in metadata["labels"].items() if k != POD_TEMPLATE_HASH}
    # A ControllerRevision's data is a patch and says so inside.
    return {**{k: v for k, v in template.items() if k != "$patch"}, "metadata": metadata}


def writers_of(managed_fields: Sequence[Mapping[str, Any]] | None) -> FieldManagers:
    """Who last wrote `spec.paused`, `spec.template` and `spec.replicas`, from `metadata.managedFields`.

    Whoever changes a plain field takes it from the others, so for `paused` and `replicas` this is exact. Several
    managers may own parts of a template: the one whose entry is the youngest counts, of two in one second the
    one that owns an image. An entry's time is that of its manager's last write to any field, so for a template
    this is a hint; `_still_by` keeps it from being misled by later writes to other fields.
    """
    latest: dict[str, tuple[str, bool, str]] = {}
    for entry in managed_fields or ():
        spec = (entry.get("fieldsV1") or {}).get("f:spec")
        if not isinstance(spec, dict):
            continue
        rolling = (spec.get("f:updateStrategy") or {}).get("f:rollingUpdate")
        if isinstance(rolling, dict) and "f:partition" in rolling:
            spec = {**spec, "f:paused": {}}  # what pauses a StatefulSet
        time = str(entry.get("time") or "")  # RFC 3339 in UTC: sorts as text
        for field in ("f:paused", "f:template", "f:replicas"):
            if field in spec:
                found = (time, _owns_image(spec[field]), sys.intern(str(entry.get("manager") or "")))
                latest[field] = max(latest.get(field, found), found, key=lambda one: one[:2])
    if not latest:
        return NOBODY
    return FieldManagers(*(latest[f][2] if f in latest else "" for f in ("f:paused", "f:template", "f:replicas")))


def _keep_template_manager(old: Workload | None, template: str, writers: FieldManagers) -> FieldManagers:
    """The writers, with the template's taken over from the record before where the template has not changed."""
    if old is not None and old.template == template and old.writers.template:
        return replace(writers, template=old.writers.template)
    return writers


def template_and_writers(obj: Obj, old: Workload | None) -> tuple[str, FieldManagers]:
    """The digest of a workload's template, and who wrote its fields.

    old: the record before this event. `metadata.generation` grows with every change of `spec`, so an unchanged
    one lets both be taken over: most events are of the status alone.
    """
    meta = obj["metadata"]
    if old is not None and old.uid != meta["uid"]:
        old = None
    if old is not None and old.generation == number(meta.get("generation")):
        return old.template, old.writers
    template = template_digest(obj["spec"]["template"])
    return template, _keep_template_manager(old, template, writers_of(meta.get("managedFields")))


def project_workload(kind: str, obj: Obj, old: Workload | None, **particulars: Any) -> Workload:
    """What is kept of any workload, with what its kind alone tells (the counts of pods at least) as `particulars`.

    old: the record before this event.
    """
    meta = obj["metadata"]
    template, writers = template_and_writers(obj, old)
    return Workload(
        kind=kind,
        namespace=sys.intern(meta["namespace"]),
        name=meta["name"],
        uid=meta["uid"],
        resource_version=meta["resourceVersion"],
        generation=number(meta.get("generation")),
        observed=number((obj.get("status") or {}).get("observedGeneration")),
        template=template,
        writers=writers,
        placement=placement_in(obj, old),
        selector=_selector_in(obj, old),
        **particulars,
    )


def placement_in(obj: Obj, old: Workload | None) -> Placement:
    """On which nodes a workload's pods may run. old: the record before this event."""
    meta = obj["metadata"]
    if old is not None and old.uid == meta["uid"] and old.generation == number(meta.get("generation")):
        return old.placement
    return placement_of(obj["spec"]["template"])


def _selector_in(obj: Obj, old: Workload | None) -> Selector:
    """A workload's selector. old: the record before this event; the API server lets no selector change."""
    return old.selector if old is not None and old.uid == obj["metadata"]["uid"] else selector_of(obj["spec"])


def _owns_image(fields: object) -> bool:
    if not isinstance(fields, dict):
        return False
    pod = fields.get("f:spec") or {}
    lists = (pod.get("f:containers"), pod.get("f:initContainers"))
    return any("f:image" in one for some in lists if some for one in some.values() if isinstance(one, dict))


def epoch(timestamp: str | None) -> float:
    """Seconds since the epoch of an RFC 3339 timestamp; 0 when there is none, or none that can be read."""
    if not timestamp:
        return 0.0
    try:
        return datetime.fromisoformat(timestamp).timestamp()
    except (TypeError, ValueError, OverflowError):
        return 0.0


def number(value: object, *, most: int = 2**63 - 1) -> int:
    """A whole number from a field or an annotation that may be absent, ill-formed or out of bounds: then 0."""
    try:
        found = int(value)  # type: ignore[call-overload]
    except (TypeError, ValueError, OverflowError):
        return 0
    return found if -most <= found <= most else 0
