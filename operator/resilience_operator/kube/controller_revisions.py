"""ControllerRevisions: the kept templates of StatefulSets and DaemonSets, as ReplicaSets are a Deployment's.

Their data is the template as a patch, stored as it was when the revision was made. After an upgrade of the API server
that fills in new defaults it may no longer equal a workload's template that means the same, so a match by digest is
asked first and the controllers' own word second.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable

from resilience_operator.kube.workloads import Obj, RevisionRecord, Workload, epoch, number, template_digest

REVISION_HASH = "controller-revision-hash"
"""The label by which a pod tells its revision: a ControllerRevision's name (StatefulSet), or hash (DaemonSet)."""


def trim_controller_revision(obj: Obj, old: RevisionRecord | None = None) -> RevisionRecord | None:
    """What is kept of a ControllerRevision; None when neither a StatefulSet nor a DaemonSet controls it."""
    meta = obj["metadata"]
    owner = next((o for o in meta.get("ownerReferences") or () if o.get("controller")), None)
    if owner is None or owner.get("kind") not in ("StatefulSet", "DaemonSet"):
        return None
    # Its data never changes (the API refuses it); its number does, when a rollback makes it the newest again.
    known = old is not None and old.uid == meta["uid"]
    template = old.template if known and old is not None else template_digest(template_of(obj))
    label = meta["name"]
    if owner["kind"] == "DaemonSet":
        label = (meta.get("labels") or {}).get(REVISION_HASH, "")
    return RevisionRecord(
        namespace=sys.intern(meta["namespace"]),
        name=meta["name"],
        uid=meta["uid"],
        resource_version=meta["resourceVersion"],
        generation=0,
        owner_uid=sys.intern(owner["uid"]),
        label=label,
        number=number(obj.get("revision")),
        created=epoch(meta.get("creationTimestamp")),
        template=template,
    )


def template_of(obj: Obj) -> Obj:
    """The pod template that a ControllerRevision keeps; empty where its data is something else."""
    found = ((obj.get("data") or {}).get("spec") or {}).get("template")
    return found if isinstance(found, dict) else {}


def owned_by(workload: Workload, records: Iterable[RevisionRecord]) -> list[RevisionRecord]:
    """The workload's own revisions, the latest last."""
    return sorted((r for r in records if r.owner_uid == workload.uid), key=lambda r: (r.number, r.created))


def current_of(workload: Workload, owned: list[RevisionRecord]) -> RevisionRecord | None:
    """The revision of the workload's present template, None until its controller has made one.

    owned: as `owned_by` sorts them.
    """
    for record in reversed(owned):
        if record.template == workload.template:
            return record
    if workload.observed < workload.generation or not owned:
        return None
    named = next((r for r in owned if r.label == workload.newest), None)
    # A DaemonSet's status names no revision: the controller gives the present one the highest number.
    return named if workload.newest else owned[-1]
