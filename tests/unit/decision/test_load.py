"""The forecast of the load, what is kept of it, and what scaling does with it."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest

from resilience_operator.decision.model.memory import LoadMemory, Memory, ScalingMemory
from resilience_operator.decision.model.memory_codec import dump_memory, load_memory
from resilience_operator.decision.model.observation import Measured, Observation
from resilience_operator.decision.model.policy import Condition, Dependency, Fallback, Policy, Rule, ScaleUp, Signal
from resilience_operator.decision.model.target import Pod
from resilience_operator.decision.scaling.load import covered_noise, needed, observe_load, observe_replicas
from tests.unit.decision.builders import SLOW, T0, Run, note, policy, reasons, seen, target, unknown, verbs, whole

AHEAD = Rule("cpu-load", (Condition("cpu", 0.8),), scale_up=ScaleUp(to_target=True, cooldown=15.0))
SLOW_DEPENDENCY = seen(cpu=whole(Measured(0.5)), latency_p99=whole(Measured(3.0, 6000.0)))


def cpu(value: float) -> dict[str, Observation]:
    return seen(cpu=whole(Measured(value)))


def run_of(of: Policy, replicas: int = 4) -> Run:
    run = Run(of, target=target(replicas=replicas, ready=replicas))
    run.look()
    return run


def all_ready(run: Run) -> None:
    run.target = replace(run.target, ready=run.target.replicas)


def test_a_stable_period_changes_nothing_else() -> None:
    others = {f.name: object() for f in fields(ScalingMemory) if f.name not in ("stable_since", "needs")}
    memory = ScalingMemory(**others)  # type: ignore[arg-type]
    assert memory.stable(5.0, ((5.0, 3),)) == replace(memory, stable_since=5.0, needs=((5.0, 3),))
    assert {name: getattr(memory.stable(5.0, ()), name) for name in others} == others


def test_a_steady_load_needs_what_it_is_and_a_rising_one_more() -> None:
    steady = rising = LoadMemory()
    for i in range(40):
        steady = observe_load(steady, 5.0, 60.0, T0 + 15 * i)
        rising = observe_load(rising, 5.0 + 0.1 * i, 60.0, T0 + 15 * i)
    assert needed(steady) == pytest.approx(5.0)
    assert rising.forecast > 8.9 + 0.3, "it rises by 0.1 in 15 s, and new pods serve in more than a minute"


def test_forecasts_that_were_too_low_leave_a_margin_that_a_steady_load_loses() -> None:
    load = LoadMemory()
    for i in range(400):
        load = observe_load(load, 9.0 if i % 20 > 10 else 5.0, 60.0, T0 + 15 * i)
    learned = load.margin
    assert learned > 0.1
    for i in range(400, 3000):
        load = observe_load(load, 5.0, 60.0, T0 + 15 * i)
    assert load.margin < learned / 2


def test_the_start_up_time_is_learned_from_ready_pods() -> None:
    load = observe_replicas(LoadMemory(), 4, 4, T0)
    load = observe_replicas(load, 8, 4, T0 + 10)
    load = observe_replicas(load, 8, 6, T0 + 40)
    assert observe_replicas(load, 8, 8, T0 + 70).start_up == 60.0


def test_a_restart_keeps_the_margin_and_the_start_up_time_only() -> None:
    load = observe_load(LoadMemory(margin=0.123, start_up=41.7), 5.0, 60.0, T0)
    stored = dump_memory(Memory(scaling=ScalingMemory(baseline=3, load=load)))
    assert load_memory(stored).scaling.load == LoadMemory(margin=0.12, start_up=42.0)
    assert dump_memory(Memory(scaling=ScalingMemory(load=observe_load(LoadMemory(), 5.0, 60.0, T0)))) == {}


def test_to_target_scales_before_the_threshold_is_crossed() -> None:
    run = run_of(policy(AHEAD))
    done = []
    for i in range(12):
        decision = run.look(cpu(0.4 + 0.03 * i))
        done += decision.commands
        if done:
            break
    assert done[0].verb == "scaleUp"
    assert 0.4 + 0.03 * i < 0.8


def test_pods_at_their_limit_are_doubled() -> None:
    (up,) = run_of(policy(AHEAD)).look(cpu(0.97)).commands
    assert up.to == 8


def test_ready_pods_that_fell_out_are_not_on_their_way() -> None:
    run = run_of(policy(Rule("busy", (Condition("cpu", 0.7),), scale_up=ScaleUp(pods=2))), replicas=10)
    (up,) = run.look(cpu(0.9), ready=4).commands
    assert up.to == 12


def test_pods_that_never_become_ready_are_lost_after_three_start_up_times() -> None:
    run = run_of(policy(Rule("busy", (Condition("cpu", 0.7),), scale_up=ScaleUp(pods=2))))
    assert [c.to for c in run.look(cpu(0.9)).commands] == [6]
    pods = tuple(Pod(f"p{i}", "a", run.now, False) for i in range(2))
    run.target = replace(run.target, pods=pods, ready=4)
    done = []
    for _ in range(20):
        done += [(run.now - T0, c.to) for c in run.look(cpu(0.9)).commands]
        if done:
            break
    assert done == [(225.0, 8)]


def learned(run: Run, margin: float) -> Run:
    scaling = run.memory.scaling
    run.memory = replace(run.memory, scaling=replace(scaling, load=replace(scaling.load, margin=margin)))
    return run


@pytest.mark.parametrize(("margin", "pods"), [(0.0, []), (0.06, []), (0.1, [11])])
def test_what_the_margin_covers_is_not_left_to_the_tolerance_too(margin: float, pods: list[int]) -> None:
    run = learned(run_of(policy(AHEAD, max_replicas=50), replicas=10), margin)
    done = [c.to for _ in range(8) for c in run.look(cpu(0.78)).commands if c.verb == "scaleUp"]
    assert done[:1] == pods, "9.75 pods at the threshold, 10.7 with a margin of 10%"


@pytest.mark.parametrize(("margin", "part"), [(0.0, 0.0), (0.08, 0.04), (0.1, 0.05), (1.0, 0.05)])
def test_half_of_the_margin_counts_towards_the_tolerance(margin: float, part: float) -> None:
    assert covered_noise(LoadMemory(margin=margin)) == pytest.approx(part)


def test_the_effect_of_a_step_is_awaited_before_the_next() -> None:
    run = run_of(policy(SLOW), replicas=3)
    sizes = []
    for i in range(40):
        slow = whole(Measured(3.0 if i < 6 else 0.3, 6000.0))
        sizes += [c.to for c in run.look(seen(latency_p99=slow, cpu=whole(Measured(0.5)))).commands]
        all_ready(run)
        if i > 20:
            break
    assert sizes == [5], "the window still holds the time before the step"


def test_a_further_rise_of_the_load_is_answered_at_once() -> None:
    busy = Rule("busy", (Condition("cpu", 0.7, hold=600.0),), scale_up=ScaleUp(pods=2))
    run = run_of(policy(SLOW, busy), replicas=3)
    sizes = []
    for _ in range(10):
        overload = seen(latency_p99=whole(Measured(3.0, 6000.0)), cpu=whole(Measured(0.98)))
        sizes += [c.to for c in run.look(overload).commands]
        all_ready(run)
    assert sizes == [5, 8, 12]


def test_scaling_that_does_not_help_stops_and_is_given_back() -> None:
    busy = Rule("busy", (Condition("cpu", 0.9, hold=120.0),), scale_up=ScaleUp(pods=2))
    run = run_of(policy(SLOW, busy))
    ups, downs, told = [], [], []
    for _ in range(240):
        decision = run.look(SLOW_DEPENDENCY)
        ups += [c.to for c in decision.commands if c.verb == "scaleUp"]
        told += [r for r in reasons(decision) if r != "Alert"]
        all_ready(run)
        downs += [c.to for c in decision.commands if c.verb == "scaleDown"]
    assert ups == [6, 9]
    assert told == ["ScalingDoesNotHelp"]
    assert note(decision, "slow-requests") == "more pods did not help"
    assert downs[0] == 6, "9 × 0.5 / (0.9 × 0.9)"
    run.look()
    assert verbs(run.look(SLOW_DEPENDENCY)) == ["scaleUp"], "a new breach is tried again"


@pytest.mark.parametrize(
    ("db", "told"),
    [
        (whole(Measured(2.0)), "At the same time a dependency is in trouble: orders-db: db is 2s (above 500ms)"),
        (whole(Measured(0.1)), "No dependency of the policy (orders-db) is known to be in trouble: look for a lock or"),
        (unknown(), "is known to be in trouble (not measured: orders-db): look for a lock"),
    ],
)
def test_the_dependency_in_trouble_is_named(db: Observation, told: str) -> None:
    guarded = policy(SLOW)
    signals = {**guarded.signals, "db": Signal("db", window=3600.0, unit="seconds")}
    dependencies = (Dependency("orders-db", Condition("db", 0.5)),)
    guarded = replace(guarded, signals=signals, dependencies=dependencies)
    assert guarded.window < 3600.0, "a dependency's window holds no pods"
    run = run_of(guarded)
    messages = []
    for _ in range(60):
        decision = run.look({**SLOW_DEPENDENCY, "db": db})
        messages += [n.message for n in decision.notices if n.reason == "ScalingDoesNotHelp"]
        all_ready(run)
    assert len(messages) == 1
    assert told in messages[0]


def test_noise_of_a_quantile_is_no_effect() -> None:
    run = run_of(policy(SLOW))
    ups, told = [], []
    for value in [1.93] + [5.61] * 11 + [4.75] * 60:
        decision = run.look(seen(latency_p99=whole(Measured(value, 6000.0)), cpu=whole(Measured(0.5))))
        ups += [c.to for c in decision.commands if c.verb == "scaleUp"]
        told += [r for r in reasons(decision) if r != "Alert"]
        all_ready(run)
    assert (ups, told) == ([6, 9], ["ScalingDoesNotHelp"])


@pytest.mark.parametrize("reason", ["NoTraffic", "TooFewSamples"])
def test_no_requests_are_little_load(reason: str) -> None:
    run = run_of(policy(SLOW, AHEAD, fallback=Fallback(after=180.0, replicas=10)), replicas=12)
    quiet = seen(cpu=whole(Measured(0.02)), latency_p99=unknown(reason=reason), error_rate=unknown(reason=reason))
    done = [c.to for _ in range(60) for c in run.look(quiet).commands]
    assert done == [3]


def test_missing_metrics_still_hold_the_pods() -> None:
    run = run_of(policy(SLOW, AHEAD, fallback=Fallback(after=180.0, replicas=10)), replicas=6)
    gone = seen(cpu=unknown(), latency_p99=unknown(), error_rate=unknown())
    assert [c.to for _ in range(60) for c in run.look(gone).commands] == [10]


def test_not_down_while_pods_fail() -> None:
    run = run_of(policy(AHEAD), replicas=4)
    failing = tuple(Pod(f"p{i}", "a", T0, False, waiting="CrashLoopBackOff", started_serving=T0) for i in range(3))
    done = [c for _ in range(60) for c in run.look(cpu(0.1), ready=1, pods=failing).commands]
    assert not [c for c in done if c.verb == "scaleDown"]


def test_a_pending_pod_does_not_hold_the_others() -> None:
    run = run_of(policy(AHEAD), replicas=20)
    pending = (Pod("p", "a", T0, False, unschedulable="0/3 nodes are available"),)
    done = [c.to for _ in range(60) for c in run.look(cpu(0.1), ready=19, pods=pending).commands]
    assert done == [3]
