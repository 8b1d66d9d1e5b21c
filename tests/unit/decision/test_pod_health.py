"""What failing pods of the new revision mean for its release, without any metric."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from resilience_operator.decision.decide import Decision
from resilience_operator.decision.model.memory import HealthMemory, Phase
from resilience_operator.decision.model.policy import Release, Rollback, Rule
from resilience_operator.decision.model.target import Pod, TargetState
from resilience_operator.decision.release.health import AS_BEFORE, POD_HEALTH, is_stalled, learn_startup
from resilience_operator.decision.release.pod_failures import Cause, failure_of
from tests.unit.decision.builders import (
    CPU,
    DAY,
    FAILING,
    T0,
    Run,
    policy,
    reasons,
    releasing,
    rolled_out,
    seen,
    split,
    target,
    unknown,
    verbs,
)

BLIND = seen(cpu=unknown(), latency_p99=unknown(), error_rate=unknown())
"""No metric at all."""


def pod(name: str, revision: str = "b", *, age: float = 60.0, at: float = T0, **fields: Any) -> Pod:
    """A pod that never was ready."""
    return Pod(name, revision, at - age, ready=False, **fields)


def serving(name: str, revision: str = "a", *, age: float = DAY, at: float = T0, **fields: Any) -> Pod:
    given = {"ready_at": at - age + 5, "started_serving": at - age + 5, **fields}
    return Pod(name, revision, at - age, ready=True, **given)


OLD = (serving("a-1"), serving("a-2"), serving("a-3"))


def run(*rules: Rule, state: TargetState | None = None, **fields: Any) -> Run:
    """`a` is good, and `b` is on its way."""
    found = Run(policy(*(rules or (FAILING,)), **fields))
    found.look()
    found.target = state or releasing(ready=3)
    return found


def look(run: Run, *pods: Pod, after: float | None = None, **changes: Any) -> Decision:
    return run.look(BLIND, after=after, pods=pods, **changes)


def at(run: Run, pods: Sequence[Pod], **changes: Any) -> tuple[Pod, ...]:
    """These pods with times as they are at the next evaluation."""
    return tuple(replace(p, **{k: v(run.now + 15) if callable(v) else v for k, v in changes.items()}) for p in pods)


def crashing(run: Run, name: str, restarts: int, revision: str = "b", **fields: Any) -> Pod:
    return pod(
        name, revision, at=run.now + 15, restarts=restarts, waiting="CrashLoopBackOff", message="back-off 20s",
        last_terminated="Error", last_terminated_at=run.now + 10, **fields,
    )  # fmt: skip


FAULTS = {
    "ImagePullBackOff": {"waiting": "ImagePullBackOff", "message": 'Back-off pulling image "x": NotFound: not found'},
    "ErrImagePull": {"waiting": "ErrImagePull", "message": "manifest unknown"},
    "InvalidImageName": {"waiting": "InvalidImageName"},
    "CrashLoopBackOff": {"waiting": "CrashLoopBackOff", "restarts": 2, "last_terminated": "Error"},
    "OOMKilled": {"waiting": "CrashLoopBackOff", "restarts": 3, "last_terminated": "OOMKilled"},
    "ReadinessFlapping": {"unready_count": 3, "started_serving": T0},
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("kind", ["Deployment", "StatefulSet", "DaemonSet"])
def test_a_failing_pod_is_reported_at_once_and_the_release_rolled_back(fault: str, kind: str) -> None:
    r = run(state=releasing(ready=3, kind=kind))
    broken = pod("b-1", **FAULTS[fault])
    decision = look(r, *OLD, broken)
    assert "ReleaseStuck" in reasons(decision)
    assert verbs(decision) == ["pauseRollout"]
    assert fault in decision.active[next(k for k in decision.active if k.startswith("stuck/"))].message
    look(r, *OLD, broken)
    decision = look(r, *OLD, broken)
    assert verbs(decision) == ["rollback"]
    assert decision.commands[0].rules == (POD_HEALTH,)
    assert fault in decision.commands[0].message
    assert [q.revision for q in r.memory.quarantined] == ["b"]


def test_a_first_restart_is_no_crash_loop() -> None:
    r = run()
    decision = look(r, *OLD, pod("b-1", restarts=1, last_terminated="Error", last_terminated_at=T0 + 10))
    assert (verbs(decision), reasons(decision)) == ([], [])


def test_an_unclear_error_counts_after_a_minute_and_a_secret_that_comes_in_time_is_forgiven() -> None:
    r = run()
    waiting = pod("b-1", waiting="CreateContainerConfigError", message='secret "db" not found')
    decision = look(r, *OLD, waiting)
    assert (verbs(decision), reasons(decision)) == ([], ["ReleaseStuck"])
    for _ in range(3):
        assert verbs(look(r, *OLD, waiting)) == []
    look(r, *OLD, pod("b-1", at=r.now))
    assert r.release.health is not None
    assert r.release.health.stuck_since is None
    for _ in range(4):
        assert verbs(look(r, *OLD, waiting)) == []
    assert verbs(look(r, *OLD, waiting)) == ["pauseRollout"]


def test_a_registry_that_cannot_be_reached_is_not_the_releases_fault_before_half_the_deadline() -> None:
    r = run(state=releasing(ready=3, progress_deadline=600.0))
    waiting = pod("b-1", waiting="ErrImagePull", message="dial tcp 10.0.0.1:443: i/o timeout")
    assert reasons(look(r, *OLD, waiting)) == ["ReleaseStuck"]
    for _ in range(19):
        assert verbs(look(r, *OLD, waiting)) == []
    assert verbs(look(r, *OLD, waiting)) == ["pauseRollout"]


def test_a_pod_that_never_becomes_ready_pauses_at_half_the_deadline_and_is_rolled_back_after_it() -> None:
    r = run(state=releasing(ready=3, progress_deadline=120.0))
    born = r.now
    acted: dict[str, float] = {}
    told = 0.0
    for _ in range(12):
        decision = look(r, *OLD, replace(pod("b-1"), created=born))
        told = told or (r.now - born if "ReleaseStuck" in reasons(decision) else 0.0)
        acted |= dict.fromkeys(verbs(decision), r.now - born)
    assert told == 60
    assert acted == {"pauseRollout": 60, "rollback": 150}  # 120 s, and the rule's 30 s


def test_a_slow_starter_that_is_known_is_not_paused_at_half_the_deadline() -> None:
    r = run(state=releasing(ready=3, progress_deadline=120.0))
    slow = tuple(replace(p, ready_at=p.created + 70, started_serving=p.created + 70) for p in OLD)
    born = r.now
    for _ in range(6):
        assert verbs(look(r, *slow, replace(pod("b-1"), created=born))) == []
    assert r.memory.startup_seconds == 70
    assert verbs(look(r, *slow, replace(pod("b-1"), created=born))) == ["pauseRollout"]


def test_one_of_many_new_pods_is_reported_and_nothing_more() -> None:
    r = run(state=releasing(ready=3))
    good = [serving(f"b-{i}", "b", age=50.0) for i in range(3)]
    decision = look(r, *OLD, *good, crashing(r, "b-9", 4))
    assert (verbs(decision), reasons(decision)) == ([], ["ReleaseStuck"])
    for _ in range(8):
        assert verbs(look(r, *OLD, *good, crashing(r, "b-9", 4))) == []
    assert verbs(look(r, *OLD, *good, crashing(r, "b-8", 4), crashing(r, "b-9", 4))) == ["pauseRollout"]


@pytest.mark.parametrize(
    ("new", "old"),
    [
        pytest.param({"waiting": "ErrImagePull", "message": "not found"}, {"waiting": "ErrImagePull"}, id="registry"),
        pytest.param({"waiting": "CrashLoopBackOff", "restarts": 4}, {"waiting": "CrashLoopBackOff"}, id="crashes"),
        pytest.param({"unready_count": 4, "started_serving": T0}, {"unready_count": 4}, id="readiness"),
        pytest.param(
            {"waiting": "CreateContainerConfigError"}, {"waiting": "CreateContainerConfigError"}, id="secret gone"
        ),
    ],
)
def test_what_the_old_revision_suffers_too_is_reported_and_not_the_releases_fault(
    new: dict[str, Any], old: dict[str, Any]
) -> None:
    r = run(state=releasing(ready=2))
    pods = (serving("a-1"), serving("a-2"), pod("a-3", "a", age=DAY, **old), pod("b-1", **new))
    told = []
    for _ in range(10):
        decision = look(r, *pods)
        told += reasons(decision)
        assert verbs(decision) == []
    assert told.count("ReleaseStuck") == 1
    (message,) = [n.message for k, n in decision.active.items() if k.startswith("stuck/")]
    assert "old revision fail alike" in message


def test_an_old_pod_that_has_been_broken_for_long_is_no_excuse() -> None:
    r = run()
    chronic = pod("a-3", "a", age=DAY, waiting="CrashLoopBackOff", restarts=280)
    assert verbs(look(r, *OLD[:2], chronic, crashing(r, "b-1", 4))) == ["pauseRollout"]


def test_a_service_that_always_restarted_is_no_news() -> None:
    r = run()
    old = tuple(replace(p, restarts=140) for p in OLD)  # every ten minutes, each
    new = serving("b-1", "b", age=900.0, restarts=2, last_terminated="Error", last_terminated_at=T0)
    decision = look(r, *old, new)
    assert (verbs(decision), reasons(decision)) == ([], [])
    assert AS_BEFORE
    # Many more than before are.
    worse = replace(new, restarts=30)
    assert verbs(look(r, *old, worse)) == ["pauseRollout"]


def test_how_often_the_old_revision_restarted_is_known_in_the_bake() -> None:
    r = run(release=Release(bake=120.0))
    look(r, *(replace(p, restarts=140) for p in OLD), serving("b-1", "b", age=60.0))
    assert r.release.health == HealthMemory(ok_since=r.now, old_restarts=420, old_seconds=3 * (DAY + 30))
    r.target = rolled_out(ready=3)
    new = [serving(f"b-{i}", "b", age=900.0) for i in range(3)]
    restarted = replace(new[0], restarts=2, last_terminated="Error", last_terminated_at=r.now, ready=False)
    decision = look(r, restarted, *new[1:])
    assert r.release.phase is Phase.BAKING
    assert verbs(decision) == []


def baking(restarts: int = 0) -> tuple[Run, list[Pod]]:
    """`b` runs on three pods that are in their bake, of half an hour. restarts: of each old pod."""
    r = run(release=Release(bake=1800.0))
    r.look(pods=(*(replace(p, restarts=restarts) for p in OLD), serving("b-1", "b", age=60.0)))
    r.target = rolled_out(ready=3)
    r.look()
    return r, [serving(f"b-{i}", "b", age=60.0, at=r.now) for i in range(3)]


def crash(r: Run, pods: Sequence[Pod], count: int, restarts: int = 1) -> Decision:
    """Look 20 minutes later, as the first `count` pods have just crashed."""
    ended = [
        replace(p, restarts=restarts, last_terminated="OOMKilled", last_terminated_at=r.now + 1200.0)
        for p in pods[:count]
    ]
    for _ in range(79):
        r.look(after=15.0, pods=None)
    return r.look(after=15.0, pods=(*ended, *pods[count:]))


def test_pods_that_crash_too_rarely_for_a_crash_loop_are_reported_and_fail_at_the_second_crash() -> None:
    r, pods = baking()
    first = crash(r, pods, 2)
    assert (verbs(first), reasons(first)) == ([], ["ReleaseStuck"])
    assert r.release.bake_started == r.now, "the bake begins anew"
    assert verbs(crash(r, pods, 2, restarts=2)) == ["pauseRollout"]
    assert r.release.good == "a"


@pytest.mark.parametrize(("crashing", "old"), [(1, 0), (3, 60)])
def test_one_pod_of_many_or_crashes_like_those_of_the_old_revision_are_no_news(crashing: int, old: int) -> None:
    r, pods = baking(restarts=old)
    started = r.release.bake_started
    decision = crash(r, pods, crashing)
    assert (verbs(decision), reasons(decision)) == ([], [])
    assert r.release.bake_started == started


def test_pods_that_begin_to_crash_in_the_bake_fail_the_release_and_nothing_is_given_back() -> None:
    rules = (replace(CPU, conditions=CPU.conditions), FAILING)
    r = run(*rules, state=rolled_out(replicas=6, ready=6), min_replicas=3)
    r.look()
    assert r.release.phase is Phase.BAKING
    started = r.release.bake_started
    acted = []
    for _ in range(80):
        pods = [crashing(r, f"b-{i}", 3) for i in range(5)] + [serving("b-5", "b", at=r.now, age=300.0)]
        decision = r.look(pods=tuple(pods), ready=1, rolled_out=True)
        acted += verbs(decision)
        if "rollback" in acted:
            break
        assert "scaleDown" not in acted
    assert acted == ["pauseRollout", "rollback"]
    assert "ReleaseGood" not in r.memory.announced
    assert r.release.good == "a"
    assert started is not None


def test_a_policy_may_only_report() -> None:
    r = run(release=Release(act_on_pods=False))
    told = []
    for _ in range(12):
        decision = look(r, *OLD, crashing(r, "b-1", 5))
        told += reasons(decision)
        assert verbs(decision) == []
    assert told.count("ReleaseStuck") == 1


def test_a_policy_without_a_guard_reports() -> None:
    r = run(CPU)
    decision = look(r, *OLD, crashing(r, "b-1", 5))
    assert (verbs(decision), reasons(decision)) == ([], ["ReleaseStuck"])


def test_a_rule_that_only_pauses_pauses() -> None:
    r = run(replace(FAILING, rollback=None))
    acted = []
    for _ in range(10):
        acted += verbs(look(r, *OLD, crashing(r, "b-1", 5)))
    assert acted == ["pauseRollout"]


def test_the_quickest_rule_decides_when_to_roll_back() -> None:
    r = run(FAILING, Rule("slow", FAILING.conditions, rollback=Rollback(after=0.0)))
    assert verbs(look(r, *OLD, crashing(r, "b-1", 5))) == ["rollback"]


@pytest.mark.parametrize(
    ("words", "counts"),
    [
        ('pods "b-1" is forbidden: exceeded quota: compute, requested: cpu=1', False),
        ("Internal error occurred: failed calling webhook", False),
        ('pods "b-1" is forbidden: violates PodSecurity "restricted:latest": privileged', True),
        ('admission webhook "policy.example.com" denied the request: latest is not allowed', True),
    ],
)
def test_pods_that_cannot_be_created_are_reported_in_the_controllers_words(words: str, counts: bool) -> None:
    r = run(state=releasing(ready=4, progress_deadline=120.0))
    acted, told = [], []
    for _ in range(14):
        decision = look(r, *OLD, create_failure=words)
        told += [n.message for n in decision.notices if n.reason == "ReleaseStuck"]
        acted += verbs(decision)
    assert len(told) == 1
    assert words in told[0]
    assert acted == (["pauseRollout", "rollback"] if counts else [])


def test_a_pause_for_failing_pods_stays_while_the_pods_cannot_be_listed() -> None:
    r = run(replace(FAILING, rollback=None), release=Release(resume=True))
    look(r, *OLD, crashing(r, "b-1", 5))
    for _ in range(20):
        assert verbs(r.look(pods=None)) == []
    good = (*OLD, serving("b-1", "b", at=r.now, age=30.0))
    acted = []
    for _ in range(10):
        acted += verbs(r.look(seen(error_rate=split(a=seen()["error-rate"].by_revision["a"])), pods=good))
    assert acted in ([], ["resumeRollout"])


def test_a_stateful_set_that_waits_for_a_broken_pod_after_its_rollback_says_how_to_go_on() -> None:
    r = run(state=releasing(ready=3, kind="StatefulSet"))
    broken = crashing(r, "checkout-2", 5)
    told = [n for _ in range(5) for n in look(r, *OLD, broken).notices]
    assert r.release.phase is Phase.ROLLING_BACK
    (notice,) = [n for n in told if n.reason == "RollbackBlocked"]
    assert "kubectl -n shop delete pod checkout-2" in notice.message


def test_a_terminating_pod_is_no_failure() -> None:
    assert failure_of(pod("b-1", waiting="CrashLoopBackOff", restarts=9, terminating=True), T0) is None


def test_a_pod_that_crashed_long_ago_serves() -> None:
    recovered = serving("b-1", "b", age=3600.0, restarts=3, last_terminated="Error", last_terminated_at=T0 - 3000)
    assert failure_of(recovered, T0) is None


def test_an_unschedulable_pod_is_reported_after_a_minute() -> None:
    found = failure_of(pod("b-1", age=61.0, unschedulable="0/3 nodes are available: 3 Insufficient cpu."), T0)
    assert found is not None
    assert (found.cause, found.detail) == (Cause.UNSCHEDULABLE, "0/3 nodes are available: 3 Insufficient cpu.")


def test_a_rollout_without_progress_for_its_deadline_is_stalled() -> None:
    r = run(state=releasing(ready=3, progress_deadline=120.0))
    look(r, *OLD)
    state = replace(r.target, pods=(*OLD, serving("b-1", "b", age=0.0, at=r.now)))
    assert not is_stalled(r.release, state, r.now + 100)
    assert is_stalled(r.release, state, r.now + 130)


def test_the_startup_time_is_learned_from_first_starts() -> None:
    pods = [Pod(f"b-{i}", "b", T0, ready=True, ready_at=T0 + 10 + i, started_serving=T0 + 10 + i) for i in range(10)]
    assert learn_startup(None, pods) == 19
    assert learn_startup(18.5, pods) == 18.5
    flapped = replace(pods[0], unready_count=1, ready_at=T0 + 900)
    restarted = replace(pods[0], restarts=1)
    assert learn_startup(None, [flapped, restarted]) is None
    assert learn_startup(7.0, None) == 7.0


def test_at_rest_there_is_nothing_to_remember() -> None:
    r = Run(policy(FAILING), target=target())
    for _ in range(3):
        r.look()
    assert r.release.health is None
