"""From an API server's JSON to pods: whose they are, which revision they run, and why they do not serve."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from resilience_operator.decision.model.target import Pod, Revision, TargetState
from resilience_operator.kube.cache.pods import project_pods, selector_text
from resilience_operator.kube.cache.selectors import NOTHING, Selector, selector_of

Obj = dict[str, Any]

TARGET = TargetState(
    kind="Deployment", namespace="shop", name="checkout", uid="u-checkout", resource_version="7", replicas=3, ready=2,
    rolled_out=False, revision="bbb",
    revisions=(
        Revision("aaa", "checkout-aaa", 1, 0.0, 2, 2, "checkout-aaa", "u-aaa"),
        Revision("bbb", "checkout-bbb", 2, 0.0, 1, 0, "checkout-bbb", "u-bbb"),
    ),
)  # fmt: skip


def owner(kind: str, uid: str, *, controller: bool = True) -> Obj:
    return {"apiVersion": "apps/v1", "kind": kind, "name": "any", "uid": uid, "controller": controller}


def pod(uid: str = "p", by: Obj | None = None, labels: Obj | None = None, **status: Any) -> Obj:
    return {
        "metadata": {
            "name": f"checkout-{uid}",
            "uid": uid,
            "creationTimestamp": "2026-01-01T00:00:00Z",
            "labels": labels or {},
            "ownerReferences": [by or owner("ReplicaSet", "u-bbb")],
        },
        "spec": {"nodeName": "n-1"},
        "status": {"phase": "Running", "startTime": "2026-01-01T00:00:01Z", **status},
    }


def ready(status: str, at: str, **more: str) -> Obj:
    return {"type": "Ready", "status": status, "lastTransitionTime": at, **more}


def one(item: Obj, target: TargetState = TARGET) -> Pod:
    (found,) = project_pods([item], target).values()
    return found


def test_a_pod_belongs_to_the_revision_of_its_replica_set_whatever_its_labels_say() -> None:
    item = pod(by=owner("ReplicaSet", "u-aaa"), labels={"pod-template-hash": "bbb"})
    assert one(item).revision == "aaa"


@pytest.mark.parametrize(
    "item",
    [
        pod(by=owner("ReplicaSet", "another")),
        pod(by=owner("ReplicaSet", "u-bbb", controller=False)),
        pod(phase="Failed"),  # evicted: the controller has made another
        {"metadata": {"name": "x"}},
        {"metadata": None},
        {"metadata": {"name": "x", "ownerReferences": "none"}},
    ],
)
def test_pods_of_others_and_malformed_ones_are_left_out(item: Obj) -> None:
    assert [p.name for p in project_pods([item, pod("q")], TARGET).values()] == ["checkout-q"]


@pytest.mark.parametrize(
    ("kind", "kept_in", "label"),
    [("StatefulSet", "checkout-bbb", "checkout-bbb"), ("DaemonSet", "checkout-bbb", "bbb")],
)
def test_a_pod_of_the_other_kinds_names_its_revision_by_a_label(kind: str, kept_in: str, label: str) -> None:
    name = kept_in if kind == "StatefulSet" else "bbb"
    target = replace(TARGET, kind=kind, revisions=(Revision(name, "checkout", 2, 0.0, 1, 0, kept_in, "u-cr"),))
    item = pod(by=owner(kind, "u-checkout"), labels={"controller-revision-hash": label})
    assert one(item, target).revision == name
    unknown = pod(by=owner(kind, "u-checkout"), labels={"controller-revision-hash": "gone"})
    assert one(unknown, target).revision == ""
    assert not project_pods([pod(by=owner(kind, "u-other"))], target)


def test_a_ready_pod_serves_since_its_condition_changed() -> None:
    found = one(pod(conditions=[ready("True", "2026-01-01T00:00:20Z")]))
    assert found.ready
    assert found.ready_at is not None
    assert found.ready_at - found.created == 20
    assert found.started_serving == found.ready_at


def test_a_pod_that_lost_readiness_served_before_and_one_that_never_was_ready_did_not() -> None:
    lost = one(pod(conditions=[ready("False", "2026-01-01T00:05:00Z")]))
    assert (lost.ready, lost.ready_at, lost.started_serving is None) == (False, None, False)
    never = one(pod(conditions=[ready("False", "2026-01-01T00:00:01Z")]))
    assert never.started_serving is None


def test_a_crash_loop_is_read_with_restarts_and_cause() -> None:
    crashing = {
        "restartCount": 3,
        "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 40s\nrestarting"}},
        "lastState": {"terminated": {"reason": "OOMKilled", "exitCode": 137, "finishedAt": "2026-01-01T00:02:00Z"}},
    }
    found = one(pod(containerStatuses=[{"restartCount": 0, "state": {"running": {}}}, crashing]))
    assert (found.waiting, found.message, found.restarts) == ("CrashLoopBackOff", "back-off 40s restarting", 3)
    assert found.last_terminated == "OOMKilled"
    assert found.last_terminated_at == found.created + 120


def test_starting_and_completed_init_containers_are_nothing_out_of_the_ordinary() -> None:
    completed = {"restartCount": 0, "state": {"terminated": {"reason": "Completed", "exitCode": 0}}}
    creating = {"restartCount": 0, "state": {"waiting": {"reason": "ContainerCreating"}}}
    found = one(pod(initContainerStatuses=[completed], containerStatuses=[creating]))
    assert (found.waiting, found.last_terminated, found.restarts) == ("", "", 0)


def test_an_unschedulable_pod_has_the_schedulers_words() -> None:
    words = "0/3 nodes are available: 3 Insufficient cpu."
    found = one(
        pod(conditions=[{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": words}])
    )
    assert found.unschedulable == words


def test_a_long_message_is_cut() -> None:
    waiting = {"restartCount": 0, "state": {"waiting": {"reason": "ErrImagePull", "message": "x" * 9000}}}
    assert len(one(pod(containerStatuses=[waiting])).message) <= 300


def test_a_selector_is_written_as_the_api_reads_it() -> None:
    spec = {
        "selector": {
            "matchLabels": {"app": "checkout", "tier": "web"},
            "matchExpressions": [
                {"key": "zone", "operator": "In", "values": ["a", "b"]},
                {"key": "track", "operator": "NotIn", "values": ["canary"]},
                {"key": "team", "operator": "Exists"},
                {"key": "old", "operator": "DoesNotExist"},
            ],
        }
    }
    assert selector_text(selector_of(spec)) == "app=checkout,tier=web,zone in (a,b),track notin (canary),team,!old"
    assert selector_text(NOTHING) == ""
    assert selector_text(Selector(expressions=(("zone", "Near", ()),))) == ""
