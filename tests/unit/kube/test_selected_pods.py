"""The pods of a kind that is known by its `/scale` alone."""

from __future__ import annotations

from typing import Any

from resilience_operator.decision.model.target import Revision, TargetState
from resilience_operator.kube.cache.selected_pods import MOST_OWNERS, project_selected, with_selected

Obj = dict[str, Any]

TARGET = TargetState(
    kind="Rollout", namespace="shop", name="checkout", uid="u", resource_version="7", replicas=3, ready=3,
    rolled_out=True, revision="unversioned", revisions=(Revision("unversioned", "checkout", 1, 0.0, 3, 3),),
)  # fmt: skip


def pod(name: str, *, ready: bool = True, phase: str = "Running", **metadata: Any) -> Obj:
    condition = {"type": "Ready", "status": str(ready), "lastTransitionTime": "2026-01-01T00:00:00Z"}
    return {
        "metadata": {"name": name, "uid": name, "creationTimestamp": "2026-01-01T00:00:00Z", **metadata},
        "status": {"phase": phase, "conditions": [condition]},
    }


def state(*items: Obj, target: TargetState = TARGET) -> TargetState:
    return with_selected(target, project_selected(items, "unversioned").values())


def test_the_owners_are_those_of_the_pods_whoever_they_are() -> None:
    found = state(pod("checkout-7d9f-a"), pod("checkout-7d9f-b"), pod("checkout-c"))
    assert found.pod_owners == ("checkout-7d9f", "checkout")
    assert (found.ready, found.pods) == (3, None)


def test_pods_that_do_not_serve_are_no_capacity_and_are_shown() -> None:
    found = state(pod("checkout-a"), pod("checkout-b", ready=False), pod("checkout-c", ready=False))
    assert found.ready == found.revisions[0].ready == 1
    assert found.pods is not None
    assert [p.ready for p in found.pods] == [True, False, False]


def test_pods_that_end_or_ended_do_not_count() -> None:
    leaving = pod("checkout-a", deletionTimestamp="2026-01-01T00:00:01Z")
    found = state(leaving, pod("checkout-b", phase="Failed"), pod("checkout-c"))
    assert found.ready == 1
    assert found.pod_owners == ("checkout",)


def test_without_pods_the_scale_counts() -> None:
    assert state() is TARGET
    assert state({"metadata": 7}, {}) is TARGET


def test_the_owners_are_limited() -> None:
    found = state(*(pod(f"group-{i}-0") for i in range(100)))
    assert len(found.pod_owners) == MOST_OWNERS
