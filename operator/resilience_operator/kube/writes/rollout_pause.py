"""Pause of a rollout, by workload kind: whether it is paused, and the patches that pause and resume it.

A Deployment has `spec.paused`. A StatefulSet has `spec.updateStrategy.rollingUpdate.partition`: only pods with an
ordinal at or above it get the new template
(https://kubernetes.io/docs/concepts/workloads/controllers/statefulset/#partitions). A partition above every ordinal
pauses the rollout, also during a scale-up. The same patch stores the original partition in an annotation.
"""

from __future__ import annotations

from typing import Any

from resilience_operator.kube.cache.workloads import MOST_REPLICAS, Obj, number

Ops = list[dict[str, Any]]
"""A JSON patch: https://www.rfc-editor.org/rfc/rfc6902."""

HELD = 1_000_000
"""A partition above every ordinal: replicas are at most 100,000 where this operator scales."""

ORIGINAL_PARTITION = "resilience-operator.io/original-partition"
"""The annotation that stores the partition from before the pause."""

_ANNOTATIONS = "/metadata/annotations"
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


def pause_ops(kind: str, obj: Obj) -> Ops:
    """The patch that pauses it, with a test that it is not paused."""
    if kind != "StatefulSet":
        return [_test("/spec/paused", None), _set("/spec/paused", True)]  # the API does not store `paused: false`
    rolling = (obj["spec"].get("updateStrategy") or {}).get("rollingUpdate")
    before = _test("/spec/updateStrategy/rollingUpdate", rolling) if rolling else None
    after = _set("/spec/updateStrategy/rollingUpdate", {**(rolling or {}), "partition": HELD})
    return [*([before] if before else []), after, *_remember(obj, str(partition(obj)))]


def resume_ops(kind: str, obj: Obj) -> Ops:
    """The patch that lifts the pause, with a test that it is still paused."""
    if kind != "StatefulSet":
        return [_test("/spec/paused", True), _set("/spec/paused", False)]
    kept = (obj["metadata"].get("annotations") or {}).get(ORIGINAL_PARTITION)
    forget: Ops = [] if kept is None else [{"op": "remove", "path": f"{_ANNOTATIONS}/{_escaped(ORIGINAL_PARTITION)}"}]
    return [_test(_PARTITION, partition(obj)), _set(_PARTITION, number(kept, most=MOST_REPLICAS)), *forget]


def _remember(obj: Obj, value: str) -> Ops:
    if obj["metadata"].get("annotations"):
        return [_set(f"{_ANNOTATIONS}/{_escaped(ORIGINAL_PARTITION)}", value)]
    return [_set(_ANNOTATIONS, {ORIGINAL_PARTITION: value})]


def _escaped(key: str) -> str:
    return key.replace("~", "~0").replace("/", "~1")


def _test(path: str, value: Any) -> dict[str, Any]:
    return {"op": "test", "path": path, "value": value}


def _set(path: str, value: Any) -> dict[str, Any]:
    return {"op": "add", "path": path, "value": value}  # `add` also replaces an existing value
