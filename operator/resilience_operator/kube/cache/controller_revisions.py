"""ControllerRevisions: the stored templates of StatefulSets and DaemonSets, like the ReplicaSets of a Deployment.

Their data is the template as a patch, in the form it had when the revision was created. A newer API server may fill in
new defaults, so an equivalent workload template can have another digest. Therefore a revision is matched by digest
first, and by the controller's status or revision number second.
"""

from __future__ import annotations

import sys

from resilience_operator.kube.cache.revisions import RevisionRecord, labels_of, owner_of
from resilience_operator.kube.cache.workloads import Obj, Workload, epoch, number, restored_from, template_digest

_KINDS = ("StatefulSet", "DaemonSet")


def project_controller_revision(obj: Obj, old: RevisionRecord | None = None) -> RevisionRecord | None:
    """Project a ControllerRevision to a record.

    Returns None if no StatefulSet or DaemonSet controls it, or if it is being deleted.
    """
    meta = obj["metadata"]
    owner = owner_of(meta, _KINDS)
    if owner is None:
        return None
    # Its data never changes (the API refuses it); its number does, when a rollback makes it the newest again.
    known = old is not None and old.uid == meta["uid"]
    if known and old is not None:
        template, restored = old.template, old.restored
    else:
        template, restored = template_digest(template_of(obj)), restored_from(template_of(obj))
    return RevisionRecord(
        namespace=sys.intern(meta["namespace"]),
        name=meta["name"],
        uid=meta["uid"],
        resource_version=meta["resourceVersion"],
        generation=0,
        owner_kind=sys.intern(owner.kind),
        owner_uid=sys.intern(owner.uid),
        labels=labels_of(meta),
        number=number(obj.get("revision")),
        created=epoch(meta.get("creationTimestamp")),
        template=template,
        restored=restored,
    )


def template_of(obj: Obj) -> Obj:
    """The pod template in a ControllerRevision; empty if its data contains no template."""
    found: object = obj
    for key in ("data", "spec", "template"):
        found = found.get(key) if isinstance(found, dict) else None
    # Unlike a workload's template it is not validated: whoever creates a ControllerRevision may write any JSON.
    if not isinstance(found, dict) or not _is_metadata(found.get("metadata")):
        return {}
    return found


def _is_metadata(found: object) -> bool:
    return found is None or (isinstance(found, dict) and isinstance(found.get("labels") or {}, dict))


def current_of(workload: Workload, owned: list[RevisionRecord]) -> RevisionRecord | None:
    """The revision of the workload's current template; None until its controller has created one.

    owned: in the order of `owned_by`.
    """
    for record in reversed(owned):
        if record.template == workload.template:
            return record
    if workload.observed < workload.generation or not owned:
        return None
    named = next((r for r in owned if r.name == workload.newest), None)
    # A DaemonSet's status names no revision: the controller gives the current one the highest number.
    return named if workload.newest else owned[-1]
