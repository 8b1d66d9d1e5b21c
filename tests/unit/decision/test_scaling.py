"""How many pods."""

from dataclasses import replace
from typing import Any

import pytest

from resilience_operator.decision.decide import Decision
from resilience_operator.decision.model.commands import Result
from resilience_operator.decision.model.memory import Phase
from resilience_operator.decision.model.observation import Measured, Observation
from resilience_operator.decision.model.policy import Condition, Fallback, Policy, Release, Rule, ScaleDown, ScaleUp
from resilience_operator.decision.model.target import HorizontalPodAutoscaler
from tests.unit.decision.builders import (
    CPU,
    FAILING,
    SIGNALS,
    SLOW,
    T0,
    Run,
    note,
    policy,
    reasons,
    releasing,
    seen,
    target,
    unknown,
    verbs,
    whole,
)

HOT, COOL = Measured(0.85), Measured(0.3)


def cpu(value: float) -> dict[str, Observation]:
    return seen(cpu=whole(Measured(value)))


def slow(value: float) -> Observation:
    return whole(Measured(value, 6000.0))


def rule(scale_up: ScaleUp, name: str = "busy", threshold: float = 0.7) -> Rule:
    return Rule(name, (Condition("cpu", threshold),), scale_up=scale_up)


def run_of(*rules: Rule, replicas: int = 3, **fields: Any) -> Run:
    run = Run(policy(*rules, **fields), target=target(replicas=replicas, ready=replicas))
    run.look()
    return run


def to_of(decision: Decision) -> Any:
    return decision.commands[0].to if decision.commands else None


def test_cpu_for_two_minutes_is_exactly_one_plus_two_and_then_the_cooldown() -> None:
    run = run_of(CPU)
    done = []
    for _ in range(8):
        decision = run.look(cpu(0.85))
        done += verbs(decision)
    assert done == [], "not before two minutes are over"
    decision = run.look(cpu(0.85))
    (up,) = decision.commands
    assert (up.verb, up.from_, up.to, up.rules) == ("scaleUp", 3, 5, ("cpu-saturation",))
    assert "cpu is 85% (above 70% for 2m)" in up.message
    at = decision.at
    run.target = replace(run.target, ready=5)
    while not (decision := run.look(cpu(0.85))).commands:
        assert decision.wake == at + 60
        assert "in cooldown for another" in note(decision, "cpu-saturation")
    assert (decision.at, to_of(decision)) == (at + 60, 7)


def test_half_of_for_and_again_is_no_scale_up() -> None:
    run = run_of(CPU)
    for value in [0.85] * 5 + [0.6] + [0.85] * 8:
        assert verbs(run.look(cpu(value))) == []


@pytest.mark.parametrize(
    ("scale_up", "replicas", "value", "to"),
    [
        pytest.param(ScaleUp(pods=2), 3, 0.85, 5, id="pods"),
        pytest.param(ScaleUp(percent=50), 3, 0.85, 5, id="percent rounds up"),
        pytest.param(ScaleUp(percent=50), 4, 0.85, 6, id="percent, even"),
        pytest.param(ScaleUp(percent=1), 4, 0.85, 5, id="percent is at least one pod"),
        pytest.param(ScaleUp(percent=10), 10, 0.85, 11, id="percent without binary noise"),
        pytest.param(ScaleUp(to_target=True), 4, 0.85, 5, id="to target: 4 × 0.85 / 0.7 = 4.86"),
        pytest.param(ScaleUp(to_target=True), 4, 1.4, 8, id="to target: exactly twice"),
        pytest.param(ScaleUp(to_target=True), 10, 0.77, None, id="to target: within its tolerance of 10%"),
        pytest.param(ScaleUp(to_target=True), 10, 0.78, 12, id="to target: just over it"),
        pytest.param(ScaleUp(pods=9), 18, 0.85, 20, id="never above the maximum"),
        pytest.param(ScaleUp(to_target=True), 10, 70.0, 20, id="to target: never above the maximum"),
    ],
)
def test_how_many(scale_up: ScaleUp, replicas: int, value: float, to: int | None) -> None:
    assert to_of(run_of(rule(scale_up), replicas=replicas).look(cpu(value))) == to


def test_the_maximum_is_told_once_while_it_holds() -> None:
    run = run_of(rule(ScaleUp(pods=2)), replicas=19)
    (up,) = run.look(cpu(0.85)).commands
    assert up.to == 20
    assert "the maximum; 21 were requested" in up.message
    run.target = replace(run.target, ready=20)
    told = []
    for i in range(20):
        decision = run.look(cpu(0.85) if i % 4 else seen(cpu=unknown()))
        assert verbs(decision) == []
        told += reasons(decision)
    assert told == ["AtMaximum"], "through the cooldown and passing gaps too"
    run.look(cpu(0.4))
    assert "at-maximum" not in run.memory.announced
    assert reasons(run.look(cpu(0.85))) == ["AtMaximum"]


def test_several_rules_the_largest_wins_and_all_are_named() -> None:
    run = run_of(rule(ScaleUp(pods=2), "cpu-hot"), SLOW, replicas=10)
    (up,) = run.look(seen(cpu=whole(HOT), latency_p99=slow(1.4))).commands
    assert (up.to, up.rules) == (15, ("slow-requests", "cpu-hot"))
    assert "latency-p99 is 1.4s" in up.message
    assert "cpu is 85%" in up.message
    run.target = replace(run.target, ready=15)
    again = run.look(seen(cpu=whole(HOT), latency_p99=slow(1.4)))
    assert verbs(again) == [], "the cooldown is that of each rule that was heard"


def test_p99_alerts_and_adds_half_rounded_up() -> None:
    run = run_of(SLOW, replicas=3)
    decision = run.look(seen(latency_p99=slow(1.4)))
    assert (verbs(decision), to_of(decision)) == (["scaleUp"], 5)
    (alert,) = decision.notices
    assert (alert.reason, alert.warning) == ("Alert", True)
    assert alert.message == "slow-requests: latency-p99 is 1.4s (above 1s)"
    told = []
    for _ in range(5):
        told += reasons(run.look(seen(latency_p99=slow(1.4))))
    assert told == [], "an alert is told once while it holds"
    run.look()
    assert reasons(run.look(seen(latency_p99=slow(1.4)))) == ["Alert"]


def test_a_passing_gap_does_not_alert_again() -> None:
    run = run_of(SLOW)
    told = []
    for found in (slow(1.4), unknown(), slow(1.4), unknown(), slow(1.4)):
        told += reasons(run.look(seen(latency_p99=found)))
    assert told == ["Alert"]


def test_pods_that_are_not_ready_are_capacity_on_its_way() -> None:
    run = run_of(rule(ScaleUp(pods=2, cooldown=0.0)))
    assert to_of(run.look(cpu(0.85))) == 5
    for _ in range(10):
        decision = run.look(cpu(0.85))
        assert verbs(decision) == []
        assert note(decision, "busy") == "waiting for pods that are not ready yet: 2"
    assert to_of(run.look(cpu(0.85), ready=4)) == 6
    assert to_of(run.look(cpu(0.85), ready=6)) == 8


def test_a_command_that_failed_is_asked_for_again() -> None:
    run = run_of(rule(ScaleUp(pods=2)))
    run.result = Result.FAILED
    assert to_of(run.look(cpu(0.85))) == 5
    assert to_of(run.look(cpu(0.85))) == 5


def test_all_and_any() -> None:
    both = (Condition("cpu", 0.7), Condition("latency-p99", 1.0))
    run = run_of(Rule("both", both, scale_up=ScaleUp(pods=2)))
    assert verbs(run.look(cpu(0.85))) == []
    assert verbs(run.look(seen(cpu=whole(HOT), latency_p99=slow(1.4)))) == ["scaleUp"]
    run = run_of(Rule("either", both, any_of=True, scale_up=ScaleUp(pods=2)))
    assert verbs(run.look(cpu(0.85))) == ["scaleUp"]


@pytest.mark.parametrize("looks", [3, 20])
def test_nothing_on_unknown(looks: int) -> None:
    run = run_of(rule(ScaleUp(pods=2)), replicas=8)
    for _ in range(looks):
        assert verbs(run.look({name: unknown() for name in SIGNALS})) == []


# ---- down


def calm(run: Run, value: float = 0.3, *, limit: int = 60) -> Decision:
    """Looks until something is done."""
    for _ in range(limit):
        decision = run.look(cpu(value))
        run.target = replace(run.target, ready=run.target.replicas)
        if decision.commands:
            return decision
    return decision


@pytest.mark.parametrize(
    ("down", "expected"),
    [
        pytest.param(ScaleDown(), [(300.0, "scaleDown", 3)], id="in one step"),
        pytest.param(ScaleDown(pods=1), [(300.0, "scaleDown", 4), (600.0, "scaleDown", 3)], id="a pod at a time"),
    ],
)
def test_scales_down_to_the_need_of_the_stable_period(down: ScaleDown, expected: list[Any]) -> None:
    run = run_of(CPU, replicas=5, scale_down=down)
    begun = run.look(cpu(0.2)).at - 15  # the look of run_of was calm already
    steps = []
    for _ in range(80):
        decision = run.look(cpu(0.2))
        run.target = replace(run.target, ready=run.target.replicas)
        if decision.commands:
            (down,) = decision.commands
            steps.append((decision.at - begun, down.verb, down.to))
    assert steps == expected


@pytest.mark.parametrize(
    ("down", "replicas", "value", "to"),
    [
        pytest.param(ScaleDown(pods=3), 12, 0.1, 9, id="pods"),
        pytest.param(ScaleDown(pods=None, percent=50.0), 12, 0.1, 6, id="percent"),
        pytest.param(ScaleDown(pods=None, percent=1.0), 12, 0.1, 11, id="percent is at least one"),
        pytest.param(ScaleDown(pods=50), 12, 0.1, 3, id="never below the minimum"),
        pytest.param(ScaleDown(pods=9), 12, 0.3, 6, id="never to what a rule would ask back: 12 × 0.3 / 0.63 = 5.7"),
        pytest.param(ScaleDown(pods=1), 12, 0.6, None, id="not even one: 12 × 0.6 / 0.63 = 11.4"),
        pytest.param(ScaleDown(enabled=False), 12, 0.1, None, id="not enabled"),
    ],
)
def test_step_down(down: ScaleDown, replicas: int, value: float, to: int | None) -> None:
    run = run_of(rule(ScaleUp(pods=2)), replicas=replicas, scale_down=down)
    assert to_of(calm(run, value)) == to


def test_the_baseline_is_the_minimum_where_none_is_given() -> None:
    run = run_of(rule(ScaleUp(pods=2)), replicas=6, min_replicas=None)
    run.look(cpu(0.85))
    run.target = replace(run.target, ready=8)
    assert [to_of(calm(run, 0.1)), to_of(calm(run, 0.1))] == [6, None]


def test_nothing_is_given_back_before_the_load_has_fallen() -> None:
    run = run_of(rule(ScaleUp(percent=50)), replicas=10)
    assert to_of(run.look(cpu(0.72))) == 15
    run.target = replace(run.target, ready=15)
    assert to_of(calm(run, 0.56)) is None, "15 × 0.56 / 0.63 is 13.3: within 15% of 15, it is noise"
    assert to_of(calm(run, 0.47)) is None, "15 × 0.47 is the load that asked for more"
    assert to_of(calm(run, 0.42)) == 10, "15 × 0.42 / 0.63"


def test_the_load_of_the_last_step_does_not_hold_pods_for_long() -> None:
    run = run_of(rule(ScaleUp(percent=50)), replicas=10)
    assert to_of(run.look(cpu(0.72))) == 15
    run.target = replace(run.target, ready=15)
    done = [(run.now, c.to) for _ in range(200) for c in run.look(cpu(0.46)).commands]
    assert done[0][1] == 11
    assert done[0][0] - T0 < 2700


@pytest.mark.parametrize(
    "interruption",
    [
        pytest.param(seen(cpu=unknown()), id="unknown"),
        pytest.param(cpu(0.71), id="pending"),
        pytest.param(cpu(0.6), id="a load that needs all pods"),
    ],
)
def test_calm_starts_anew(interruption: dict[str, Observation]) -> None:
    run = run_of(CPU, replicas=6)
    for _ in range(15):
        run.look(cpu(0.3))
    run.look(interruption)
    begun = run.now + 15
    assert calm(run).at == begun + 300


def test_after_an_outage_the_look_back_fills_first() -> None:
    run = run_of(CPU, replicas=6, scale_down=ScaleDown(after=0.0))
    for _ in range(10):
        assert verbs(run.look(seen(cpu=unknown()))) == []
    begun = run.now + 15
    assert calm(run).at == begun + 60, "the window of cpu"


def test_not_in_a_release() -> None:
    run = Run(policy(CPU, FAILING, release=Release(bake=600.0)), target=releasing(replicas=8, ready=8))
    run.look(cpu(0.1))
    for _ in range(60):
        assert verbs(run.look(cpu(0.1))) == []
    assert run.release.phase is Phase.PROGRESSING


def test_nothing_to_give_back_without_a_rule_that_scales() -> None:
    run = Run(policy(FAILING), target=target(replicas=9, ready=9))
    for _ in range(40):
        assert verbs(run.look()) == []


# ---- people and other autoscalers


def test_a_manual_scale_is_told_and_respected_as_a_floor() -> None:
    run = run_of(rule(ScaleUp(pods=2)), replicas=3)
    decision = run.look(cpu(0.1), replicas=7, ready=7, scaled_by="kubectl-scale")
    assert reasons(decision) == ["ManualScale"]
    assert decision.notices[0].message == (
        "kubectl (kubectl-scale) scaled Deployment checkout from 3 to 7; the operator will not scale down below that. "
        "To end this, scale it to replicas.min, or to a number of your choice"
    )
    told_before = run.memory.announced
    assert reasons(run.look(cpu(0.1))) == []
    assert run.memory.announced == told_before
    assert to_of(calm(run, 0.1)) is None
    assert to_of(run.look(cpu(0.9))) == 9
    run.target = replace(run.target, ready=9)
    assert [to_of(calm(run, 0.1)) for _ in range(2)] == [7, None]


def test_a_manual_scale_down_during_a_breach_is_not_fought_at_once() -> None:
    run = run_of(rule(ScaleUp(pods=2)), replicas=3)
    assert to_of(run.look(cpu(0.85))) == 5
    decision = run.look(cpu(0.85), replicas=3, ready=3, scaled_by="kubectl-scale")
    assert (verbs(decision), reasons(decision)) == ([], ["ManualScale"]), "the cooldown goes on"


def test_its_own_scale_of_which_it_never_heard_is_no_persons() -> None:
    run = run_of(rule(ScaleUp(pods=2)), replicas=3)
    decision = run.look(cpu(0.1), replicas=5, ready=5, scaled_by="resilience-operator")
    assert reasons(decision) == []
    assert run.memory.scaling.manual_floor is None
    assert to_of(calm(run, 0.1)) == 3


def with_hpa(lowest: int = 3, highest: int = 10, replicas: int = 4, **fields: Any) -> Run:
    hpa = HorizontalPodAutoscaler("checkout", "7", lowest, highest)
    run = Run(policy(rule(ScaleUp(pods=2)), **fields), target=target(replicas=replicas, ready=replicas, hpa=hpa))
    run.look()
    return run


def test_an_hpa_has_its_minimum_raised_and_given_back() -> None:
    run = with_hpa()
    (up,) = run.look(cpu(0.85)).commands
    assert (up.from_, up.to, up.via) == (4, 6, "HorizontalPodAutoscaler/checkout")
    assert run.target.replicas == 4, "replicas are the HPA's to write"
    decision = run.look(cpu(0.85))
    assert verbs(decision) == []
    assert note(decision, "busy") in ("waiting for pods that are not ready yet: 2", "in cooldown for another 45s")
    run.target = replace(run.target, replicas=6, ready=6)
    steps = []
    for _ in range(120):
        decision = run.look(cpu(0.1))
        assert reasons(decision) == [], "what the HPA does is no person's"
        if decision.commands:
            assert decision.commands[0].via
            steps.append(to_of(decision))
    assert steps == [3], "to the minimum that it had"


@pytest.mark.parametrize(("highest", "maximum", "to"), [(5, 20, 5), (10, 5, 5), (4, 20, None)])
def test_an_hpa_is_never_raised_above_its_maximum_or_the_policys(highest: int, maximum: int, to: int | None) -> None:
    assert to_of(with_hpa(highest=highest, max_replicas=maximum).look(cpu(0.85))) == to


def test_the_original_minimum_survives_a_lost_memory() -> None:
    hpa = HorizontalPodAutoscaler("checkout", "7", 6, 10, original_min=3)
    run = Run(policy(rule(ScaleUp(pods=2))), target=target(replicas=6, ready=6, hpa=hpa))
    run.look(cpu(0.1))
    assert [to_of(calm(run, 0.1)) for _ in range(2)] == [3, None]


# ---- fallback


def outage(p: Policy, replicas: int, looks: int = 30, **fields: Any) -> list[tuple[float, Any, str]]:
    run = Run(p, target=target(replicas=replicas, ready=replicas, **fields))
    run.look()
    begun, done = run.now + 15, []
    for _ in range(looks):
        decision = run.look({name: unknown(reason="SourceUnreachable") for name in SIGNALS})
        done += [(decision.at - begun, c.to, c.reason) for c in decision.commands]
    return done


FALLBACK = Fallback(after=180.0, replicas=6)


@pytest.mark.parametrize(
    ("fields", "replicas", "done"),
    [
        pytest.param({}, 4, [], id="hold is the default"),
        pytest.param({"fallback": FALLBACK}, 4, [(180.0, 6, "Fallback")], id="once, after its time"),
        pytest.param({"fallback": FALLBACK}, 8, [], id="never lower than now"),
        pytest.param(
            {"fallback": FALLBACK, "max_replicas": 5}, 4, [(180.0, 5, "Fallback")], id="never above the maximum"
        ),
        pytest.param({"fallback": FALLBACK, "max_replicas": None}, 4, [(180.0, 6, "Fallback")], id="no maximum"),
        pytest.param({"fallback": FALLBACK, "rules": (FAILING,)}, 4, [(180.0, 6, "Fallback")], id="no rule scales"),
    ],
)
def test_fallback(fields: dict[str, Any], replicas: int, done: list[tuple[float, int, str]]) -> None:
    rules = fields.pop("rules", (CPU,))
    assert outage(policy(*rules, **fields), replicas) == done


def test_fallback_through_an_hpa_stays_below_its_maximum() -> None:
    hpa = HorizontalPodAutoscaler("checkout", "7", 3, 5)
    done = outage(policy(CPU, fallback=FALLBACK, max_replicas=None), 4, hpa=hpa)
    assert done == [(180.0, 5, "Fallback")]


def test_too_few_requests_are_no_outage() -> None:
    run = Run(policy(SLOW, fallback=FALLBACK))
    for _ in range(30):
        assert "scaleUp" not in verbs(run.look(seen(latency_p99=whole(Measured(0.2, 3.0)))))


def test_one_signal_of_several_gone_is_no_outage() -> None:
    run = Run(policy(CPU, SLOW, fallback=FALLBACK))
    for _ in range(30):
        assert verbs(run.look(seen(cpu=unknown()))) == []


def test_scaled_to_zero_is_left_at_zero() -> None:
    run = Run(policy(rule(ScaleUp(pods=2)), fallback=FALLBACK), target=target(replicas=0, ready=0))
    for found in (cpu(0.9), {name: unknown() for name in SIGNALS}):
        for _ in range(30):
            assert verbs(run.look(found)) == []
    assert note(run.look(cpu(0.9)), "busy") == "the target is scaled to zero"
