"""Which ReplicaSets and ControllerRevisions are revisions of a workload.

An owner reference is only a claim. The API server does not check that the owner exists, that it is in the same
namespace, or that its controller made the object. So a revision must also be in the workload's namespace, match its
selector and not be under deletion, as the controllers of Kubernetes and Argo Rollouts require. Every reader of
revisions calls `owned_by`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from resilience_operator.decision.configuration.names import Restored
from resilience_operator.decision.model.target import Revision
from resilience_operator.kube.cache.selectors import label_text
from resilience_operator.kube.cache.workloads import POD_TEMPLATE_HASH, Workload

REVISION_HASH = "controller-revision-hash"
"""The label by which a pod names its revision: a ControllerRevision's name (StatefulSet), or hash (DaemonSet)."""

MAX_NAME = 253
"""Characters of an object's name. Controllers cut the workload's name so that the hash fits behind it."""

_HASH_LABELS = (POD_TEMPLATE_HASH, REVISION_HASH, "controller.kubernetes.io/hash")
_GROUPS = ("apps", "extensions")
"""`extensions` was the group of Deployments and DaemonSets before Kubernetes 1.16; old references still name it."""


@dataclass(frozen=True, slots=True)
class RevisionRecord:
    """The record of a ReplicaSet or a ControllerRevision.

    owner_kind, owner_uid: the workload that its controller reference names. labels: as `selectors.label_text`, without
        the labels that hold a revision's hash.
    number: the controller's revision number. created: seconds since the epoch.
    template: the digest of its pod template. restored: as `Revision.restored`.
    replicas, ready: its numbers of pods; 0 for a ControllerRevision, which does not count them.
    """

    namespace: str
    name: str
    uid: str
    resource_version: str
    generation: int
    owner_kind: str
    owner_uid: str
    labels: str
    number: int
    created: float
    template: str
    replicas: int = 0
    ready: int = 0
    restored: Restored | None = None


class Owner(NamedTuple):
    """The workload that an object's controller reference names."""

    kind: str
    uid: str


def owner_of(metadata: Mapping[str, Any], kinds: Iterable[str]) -> Owner | None:
    """The controller of an object, None if it is not one of these workload kinds or the object is being deleted."""
    if metadata.get("deletionTimestamp"):
        return None
    for reference in metadata.get("ownerReferences") or ():
        if reference.get("controller") is True:
            group = str(reference.get("apiVersion")).partition("/")[0]
            kind = str(reference.get("kind"))
            return Owner(kind, str(reference.get("uid"))) if group in _GROUPS and kind in kinds else None
    return None


def labels_of(metadata: Mapping[str, Any]) -> str:
    """An object's labels as `RevisionRecord.labels`. All revisions of a workload share the string."""
    return label_text(metadata.get("labels") or {}, without=_HASH_LABELS)


def owned_by(workload: Workload, records: Iterable[RevisionRecord]) -> list[RevisionRecord]:
    """The records that are revisions of this workload, sorted by revision number, the latest last."""
    owned = (
        r
        for r in records
        if r.owner_uid == workload.uid
        and r.owner_kind == workload.kind
        and r.namespace == workload.namespace
        and workload.selector.matches(r.labels)
    )
    return sorted(owned, key=lambda r: (r.number, r.created))


def revision_name(workload: Workload, record: RevisionRecord) -> str:
    """The name of a revision, unique among those of its workload.

    It is the hash at the end of the object's name, not the hash label: a label can be edited, a name cannot. If the
    object's name is not the workload's name and a hash, the controller did not name it. Its revision is then the full
    name with a `/`, which no hash contains.
    """
    if workload.kind == "StatefulSet":
        return record.name
    prefix, _, suffix = record.name.rpartition("-")
    if suffix and prefix == workload.name[: MAX_NAME - 1 - len(suffix)]:
        return suffix
    return f"adopted/{record.name}"


def as_revision(workload: Workload, record: RevisionRecord, owner: str, pods: tuple[int, int]) -> Revision:
    """Convert a record to a `Revision`. owner: as `Revision.owner`. pods: the numbers of existing and of ready pods."""
    replicas, ready = pods
    return Revision(
        name=revision_name(workload, record),
        owner=owner,
        number=record.number,
        created=record.created,
        replicas=replicas,
        ready=ready,
        kept_in=record.name,
        uid=record.uid,
        template=record.template,
        restored=record.restored,
    )
