"""Pause of a rollout, by workload kind: whether it is paused, and the patches that pause and resume it.

A Deployment has `spec.paused`. A StatefulSet has `spec.updateStrategy.rollingUpdate.partition`: only pods with an
ordinal at or above it get the new template
(https://kubernetes.io/docs/concepts/workloads/controllers/statefulset/#partitions). A partition above every ordinal
pauses the rollout, also during a scale-up. The same patch stores the original partition in an annotation.
"""

from __future__ import annotations

from resilience_operator.kube.cache.workloads import MOST_REPLICAS, Obj, number
from resilience_operator.kube.writes.json_patch import ANNOTATIONS, Ops, annotation_path, remove_op, set_op, test_op

HELD = 1_000_000
"""A partition above every ordinal: replicas are at most 100,000 where this operator scales."""

ORIGINAL_PARTITION = "resilience-operator.io/original-partition"
"""The annotation that stores the partition from before the pause."""

PAUSED_REVISION = "resilience-operator.io/paused-revision"
"""The annotation that marks a pause by the operator on a Deployment: the revision that it paused.

The API server does not record who removes `spec.paused`. `kubectl rollout resume` and an edit leave the mark. A writer
that replaces the whole object from a manifest removes it.
"""

_MARKS = {"Deployment": PAUSED_REVISION, "StatefulSet": ORIGINAL_PARTITION}
_PARTITION = "/spec/updateStrategy/rollingUpdate/partition"


def partition(obj: Obj) -> int:
    """A StatefulSet's partition; 0 if none is set."""
    strategy = obj["spec"].get("updateStrategy") or {}
    return number((strategy.get("rollingUpdate") or {}).get("partition", 0))


def can_pause(kind: str, obj: Obj) -> bool:
    """Whether its rollouts proceed automatically and can be paused."""
    if kind == "StatefulSet":
        return bool((obj["spec"].get("updateStrategy") or {}).get("type", "RollingUpdate") == "RollingUpdate")
    return kind == "Deployment"


def is_paused(kind: str, obj: Obj) -> bool:
    """Whether its rollout is paused."""
    return partition(obj) >= HELD if kind == "StatefulSet" else bool(obj["spec"].get("paused"))


def is_marked(kind: str, obj: Obj) -> bool:
    """Whether it has the annotation that the operator sets with its pause."""
    return _MARKS.get(kind, "") in (obj["metadata"].get("annotations") or ())


def pause_ops(kind: str, obj: Obj, revision: str) -> Ops:
    """The patch that pauses it, with a test that it is not paused. revision: the one that is paused."""
    if kind != "StatefulSet":
        # The API does not store `paused: false`.
        return [test_op("/spec/paused", None), set_op("/spec/paused", True), *_annotate(obj, PAUSED_REVISION, revision)]
    rolling = (obj["spec"].get("updateStrategy") or {}).get("rollingUpdate")
    before = test_op("/spec/updateStrategy/rollingUpdate", rolling) if rolling else None
    after = set_op("/spec/updateStrategy/rollingUpdate", {**(rolling or {}), "partition": HELD})
    return [*([before] if before else []), after, *_annotate(obj, ORIGINAL_PARTITION, str(partition(obj)))]


def resume_ops(kind: str, obj: Obj) -> Ops:
    """The patch that lifts the pause, with a test that it is still paused."""
    mark = _MARKS.get(kind, "")
    kept = (obj["metadata"].get("annotations") or {}).get(mark)
    forget: Ops = [] if kept is None else [remove_op(annotation_path(mark))]
    if kind != "StatefulSet":
        return [test_op("/spec/paused", True), set_op("/spec/paused", False), *forget]
    return [test_op(_PARTITION, partition(obj)), set_op(_PARTITION, number(kept, most=MOST_REPLICAS)), *forget]


def _annotate(obj: Obj, name: str, value: str) -> Ops:
    if obj["metadata"].get("annotations"):
        return [set_op(annotation_path(name), value)]
    return [set_op(ANNOTATIONS, {name: value})]
