"""Scaling in situations that are rare: each through `decide()`, step by step, as an SRE would judge it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from math import inf, nan

import pytest

from resilience_operator.decision.model.commands import Command, Verb
from resilience_operator.decision.model.observation import Measured, Observation
from resilience_operator.decision.model.policy import Condition, Fallback, Rule, ScaleDown, ScaleUp, Signal
from resilience_operator.decision.model.target import HorizontalPodAutoscaler, Pod
from tests.unit.decision.builders import (
    HEALTHY,
    MINUTE,
    SIGNALS,
    SLOW,
    T0,
    Run,
    note,
    policy,
    reasons,
    releasing,
    revision,
    seen,
    target,
    unknown,
    whole,
)

AHEAD = Rule("cpu-load", (Condition("cpu", 0.8),), scale_up=ScaleUp(to_target=True, cooldown=15.0))
STEPS = Rule("busy", (Condition("cpu", 0.7),), scale_up=ScaleUp(pods=2))
QUEUE = Rule("queue", (Condition("queue", 50.0),), scale_up=ScaleUp(to_target=True, cooldown=15.0))
WITH_QUEUE = {**SIGNALS, "queue": Signal("queue", window=60.0, total=True)}
QUIET = seen(cpu=unknown(), latency_p99=unknown(reason="NoTraffic"), error_rate=unknown(reason="NoTraffic"))
START_UP = 30.0


def cpu(value: float) -> Mapping[str, Observation]:
    return seen(cpu=whole(Measured(value)))


def queue(total: float) -> Mapping[str, Observation]:
    return {**HEALTHY, "queue": whole(Measured(total))}


def pods(ready: int, **not_ready: object) -> tuple[Pod, ...]:
    """Ready pods of a day ago, and one that is not ready if anything is given of it."""
    found = tuple(Pod(f"p{i}", "a", T0 - 86400, True, started_serving=T0 - 86300) for i in range(ready))
    return (*found, Pod("late", "a", T0, False, **not_ready)) if not_ready else found  # type: ignore[arg-type]


def serve(run: Run, load: float | Callable[[float], float], seconds: float, *, starts: bool = True) -> list[Command]:
    """Let a load of so many pods at 100% CPU last for a time. starts: new pods become ready after `START_UP`."""
    begin, waiting, done = run.now, None, []
    while run.now < begin + seconds:
        offered = load(run.now - begin) if callable(load) else load
        done += run.look(cpu(min(1.0, offered / max(run.target.ready, 1)))).commands
        if run.target.ready == run.target.replicas:
            waiting = None
        elif waiting is None:
            waiting = run.now
        elif starts and run.now - waiting >= START_UP:
            run.target, waiting = replace(run.target, ready=run.target.replicas), None
    return done


def sizes(commands: list[Command]) -> list[object]:
    return [c.to for c in commands if c.verb in (Verb.SCALE_UP, Verb.SCALE_DOWN)]


def test_zero_pods_are_left_alone_and_the_first_pod_is_scaled_to_the_load() -> None:
    run = Run(policy(AHEAD), target=target(replicas=0, ready=0, revisions=(revision("a", replicas=0),)))
    assert [c for _ in range(20) for c in run.look(QUIET).commands] == []
    run.look(QUIET, replicas=1, ready=0, scaled_by="keda-operator")
    assert run.target.replicas == 3, "the minimum"
    serve(run, 5, 5 * MINUTE)
    assert 7 <= run.target.replicas <= 10
    assert run.memory.metrics_missing_since is None


def test_an_hpa_of_keda_is_not_fought_however_high_the_load() -> None:
    hpa = HorizontalPodAutoscaler("keda-hpa-web", "1", 2, 10, owner="KEDA", scaled_object="web")
    run = Run(policy(AHEAD), target=target(hpa=hpa))
    decisions = [run.look(cpu(1.0)) for _ in range(20)]
    assert [c for d in decisions for c in d.commands] == []
    assert "ScaledObject web" in note(decisions[-1], "cpu-load")


@pytest.mark.parametrize("rule", [AHEAD, STEPS])
def test_pods_that_a_quota_refuses_are_asked_for_once(rule: Rule) -> None:
    start = target(replicas=2, ready=2, pods=pods(2), create_failure="exceeded quota: pods=2")
    run = Run(policy(rule, min_replicas=6), target=start)
    assert sizes(serve(run, 5, 30 * MINUTE, starts=False)) == [6], "more would be refused as well"


def test_a_workload_of_one_pod_grows_and_returns() -> None:
    run = Run(policy(AHEAD, min_replicas=1), target=target(replicas=1, ready=1))
    assert sizes(serve(run, 0.86, 10 * MINUTE)) == [], "within the tolerance"
    serve(run, 4, 5 * MINUTE)
    assert 5 <= run.target.replicas <= 8
    serve(run, 0.3, 20 * MINUTE)
    assert run.target.replicas == 1


def test_a_need_that_falls_while_a_release_runs_is_given_back_when_the_release_is_stalled() -> None:
    run = Run(policy(AHEAD), target=target(replicas=9, ready=9))
    serve(run, 7, MINUTE)
    old, new = revision("a", replicas=8), revision("b", 2, age=-60.0, replicas=1, ready=0)
    run.target = releasing(replicas=9, ready=8, revisions=(old, new))
    assert sizes(serve(run, 0.5, 9 * MINUTE, starts=False)) == []
    run.target = replace(run.target, progress_deadline_exceeded=True)
    serve(run, 0.5, 30 * MINUTE, starts=False)
    assert run.target.replicas <= 4, "the minimum, and the pod that fails"


@pytest.mark.parametrize(("percent", "replicas", "to"), [(1, 1, 2), (10, 4, 5), (50, 3, 5), (100, 1, 2), (33, 3, 4)])
def test_percent_of_few_pods_is_at_least_one(percent: int, replicas: int, to: int) -> None:
    rule = Rule("busy", (Condition("cpu", 0.7),), scale_up=ScaleUp(percent=percent))
    run = Run(policy(rule, min_replicas=1), target=target(replicas=replicas, ready=replicas))
    assert sizes(list(run.look(cpu(0.9)).commands)) == [to]


def test_percent_down_reaches_the_minimum() -> None:
    down = ScaleDown(after=300.0, percent=10)
    run = Run(policy(STEPS, scale_down=down), target=target(replicas=5, ready=5))
    assert sizes(serve(run, 0.5, 15 * MINUTE)) == [4, 3]


def test_a_queue_that_is_empty_needs_the_minimum_only() -> None:
    run = Run(policy(QUEUE, signals=WITH_QUEUE, min_replicas=1))
    for _ in range(20):
        run.look(queue(1000.0))
        run.target = replace(run.target, ready=run.target.replicas)
    assert run.target.replicas == 20
    done = [(run.now, c.to) for _ in range(30) for c in run.look(queue(0.0)).commands]
    assert [to for _, to in done] == [1]


@pytest.mark.parametrize("value", [nan, inf, -inf])
@pytest.mark.parametrize("rule", [AHEAD, STEPS])
def test_no_number_in_a_stable_period_starts_it_anew(rule: Rule, value: float) -> None:
    run = Run(policy(rule), target=target(replicas=12, ready=12))
    assert sizes(serve(run, 2, 4 * MINUTE)) == []
    assert [c for _ in range(8) for c in run.look(cpu(value)).commands] == []
    assert sizes(serve(run, 2, 4 * MINUTE)) == []
    assert len(sizes(serve(run, 2, 3 * MINUTE))) == 1


def test_pods_that_a_slow_dependency_made_useless_are_given_back_once() -> None:
    run = Run(policy(AHEAD, SLOW, max_replicas=50))
    done, told = [], []
    for _ in range(240):
        slow = whole(Measured(3.0, 6000.0))
        decision = run.look(seen(latency_p99=slow, cpu=whole(Measured(2.0 / max(run.target.ready, 1)))))
        done += decision.commands
        told += reasons(decision)
        run.target = replace(run.target, ready=run.target.replicas)
    assert sizes(done) == [6, 9, 3], "the usage of the pods that remain rises, and that is no load"
    assert told.count("ScalingDoesNotHelp") == 1


def test_pods_without_a_node_are_not_given_back_while_the_others_are_at_their_limit() -> None:
    run = Run(policy(AHEAD, max_replicas=100), target=target(pods=pods(4)))
    done = []
    for _ in range(80):
        done += run.look(cpu(0.97)).commands
        pending = tuple(
            Pod(f"u{i}", "a", T0, False, unschedulable="0/3 nodes are available")
            for i in range(run.target.replicas - 4)
        )
        run.target = replace(run.target, pods=(*pods(4), *pending))
    assert sizes(done) == [8]


@pytest.mark.parametrize("rule", [AHEAD, STEPS])
def test_a_load_that_doubles_after_a_scale_down_is_answered_at_once(rule: Rule) -> None:
    run = Run(policy(rule), target=target(replicas=12, ready=12))
    serve(run, 3, 6 * MINUTE)
    assert run.target.replicas <= 5
    (first, *_) = serve(run, 8, 31.0)
    assert first.verb is Verb.SCALE_UP


@pytest.mark.parametrize("rule", [AHEAD, STEPS])
def test_a_clock_that_is_set_back_holds_nothing(rule: Rule) -> None:
    run = Run(policy(rule))
    serve(run, 7, 2 * MINUTE)
    run.now -= 3600.0
    before = run.target.replicas
    serve(run, 18, 2 * MINUTE)
    assert run.target.replicas > before, "a cooldown that begins in the future is over"
    serve(run, 1, 12 * MINUTE)
    assert run.target.replicas <= 4


def test_a_clock_that_is_set_back_in_an_outage_does_not_delay_the_fallback() -> None:
    run = Run(policy(AHEAD, fallback=Fallback(after=180.0, replicas=10)))
    nothing = {name: unknown() for name in HEALTHY}
    for _ in range(4):
        run.look(nothing)
    run.now -= 3600.0
    assert sizes([c for _ in range(16) for c in run.look(nothing).commands]) == [10]


@pytest.mark.parametrize("value", [0.96, 1.0, 1.15])
def test_a_threshold_above_the_request_allows_that_usage(value: float) -> None:
    rule = replace(AHEAD, conditions=(Condition("cpu", 1.2),))
    run = Run(policy(rule))
    assert [c for _ in range(40) for c in run.look(cpu(value)).commands] == []


def test_the_maximum_is_told_once_while_pods_are_at_their_limit() -> None:
    run = Run(policy(replace(AHEAD, conditions=(Condition("cpu", 0.94),)), max_replicas=4))
    told = [r for _ in range(40) for r in reasons(run.look(cpu(0.96)))]
    assert told == ["AtMaximum"]


def test_after_a_step_down_that_was_undone_the_next_small_one_waits_twice_as_long() -> None:
    run = Run(policy(AHEAD), target=target(replicas=10, ready=10))
    assert sizes(serve(run, 6.2, 6 * MINUTE)) == [8]
    serve(run, 7.4, 4 * MINUTE)
    assert sizes(serve(run, 6.2, 9 * MINUTE)) == []
    assert sizes(serve(run, 6.2, 4 * MINUTE)) == [8]
    serve(run, 6.2, 10 * MINUTE)
    serve(run, 7.4, 4 * MINUTE)
    assert sizes(serve(run, 6.2, 8 * MINUTE)) == [8], "the last one stood for longer than a period"


def test_after_a_step_down_that_was_undone_a_large_one_does_not_wait() -> None:
    run = Run(policy(AHEAD), target=target(replicas=10, ready=10))
    serve(run, 6.2, 6 * MINUTE)
    serve(run, 7.4, 4 * MINUTE)
    assert sizes(serve(run, 3, 8 * MINUTE)) == [4]
