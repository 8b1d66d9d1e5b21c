"""`for`, and what Unknown does to it."""

import pytest

from resilience_operator.api.v1alpha1 import parse_policy
from resilience_operator.decision.analysis.evidence import judge
from resilience_operator.decision.analysis.judgement import Judgement
from resilience_operator.decision.analysis.verdicts import advance_timer, combine, last_known
from resilience_operator.decision.decide import decide
from resilience_operator.decision.fast_path import detect_steady_state
from resilience_operator.decision.model.compile import compile_policy
from resilience_operator.decision.model.memory import Memory, Timer, Verdict
from resilience_operator.decision.model.observation import Measured, Observation
from resilience_operator.decision.model.policy import Condition, Policy, Rule, ScaleUp, Signal
from resilience_operator.decision.report import format_condition
from tests.unit.decision.builders import CPU, T0, Run, policy, seen, target, unknown, verdict, whole

OK, PENDING, BREACH, UNKNOWN = Verdict.OK, Verdict.PENDING, Verdict.BREACH, Verdict.UNKNOWN
Y, N, X = True, False, None
MISSING = Judgement(None, "NoData", "")
FEW = Judgement(None, "TooFewSamples", "", 0.0)


def judged(crossed: bool | Judgement | None) -> Judgement:
    """Y or N; X is no measurement at all."""
    if isinstance(crossed, Judgement):
        return crossed
    return MISSING if crossed is None else Judgement(crossed, "", "", 1.0)


@pytest.mark.parametrize(
    ("crossed", "hold", "expected"),
    [
        pytest.param([N, N], 120, [OK, OK], id="never crossed"),
        pytest.param([Y], 0, [BREACH], id="no hold is at once"),
        pytest.param([Y, Y, Y], 30, [PENDING, PENDING, BREACH], id="counts from the first crossing seen"),
        pytest.param([Y, Y, N, Y, Y, Y], 30, [PENDING, PENDING, OK, PENDING, PENDING, BREACH], id="a fall resets"),
        pytest.param([Y, X, Y], 30, [PENDING, UNKNOWN, BREACH], id="unknown does not reset"),
        pytest.param([Y, X, X, X], 30, [PENDING, UNKNOWN, UNKNOWN, UNKNOWN], id="unknown does not prove"),
        pytest.param([Y, X, X, X, Y], 60, [PENDING, UNKNOWN, UNKNOWN, UNKNOWN, BREACH], id="just short of three"),
        pytest.param([Y, X, X, X, X, Y], 60, [PENDING, *[UNKNOWN] * 4, PENDING], id="three intervals reset"),
        pytest.param([Y, X, N], 30, [PENDING, UNKNOWN, OK], id="and then not crossed"),
        pytest.param([X, X, Y], 0, [UNKNOWN, UNKNOWN, BREACH], id="unknown from the start"),
        pytest.param([Y, X, Y, X, X, X, Y], 90, [PENDING, X, PENDING, X, X, X, BREACH], id="each unknown for itself"),
    ],
)
def test_one_condition(crossed: list[bool | None], hold: float, expected: list[Verdict | None]) -> None:
    timer, found = Timer(), []
    for i, one in enumerate(crossed):
        timer = advance_timer(timer, judged(one), hold, 1000.0 + 15 * i, patience=45.0)
        found.append(timer.verdict)
    assert found == [UNKNOWN if e is None else e for e in expected]


@pytest.mark.parametrize("crossed", [True, False, None])
def test_nothing_changes_while_nothing_happens(crossed: bool | None) -> None:
    timer = Timer()
    for i in range(10):
        timer = advance_timer(timer, judged(crossed), 30.0, 1000.0 + 15 * i, patience=45.0)
    assert advance_timer(timer, judged(crossed), 30.0, 5000.0, patience=45.0) is timer


@pytest.mark.parametrize(
    ("judgements", "since", "expected"),
    [
        pytest.param([N, X, X], 1000.0, OK, id="a gap after Ok"),
        pytest.param([N, X, X], 1016.0, UNKNOWN, id="one that is too long"),
        pytest.param([Y, X, X, X, X, X], 1000.0, BREACH, id="after a breach, whose timer has ended"),
        pytest.param([X, X], 1000.0, UNKNOWN, id="nothing was ever known"),
        pytest.param([N, FEW, X], 1000.0, UNKNOWN, id="what was measured last proves nothing"),
        pytest.param([N, X, Y], 1000.0, BREACH, id="known again"),
    ],
)
def test_what_was_known_last(judgements: list[bool | Judgement | None], since: float, expected: Verdict) -> None:
    timer = Timer()
    for i, one in enumerate(judgements):
        timer = advance_timer(timer, judged(one), 0.0, 1000.0 + 15 * i, patience=45.0)
    assert last_known(timer, since) is expected


@pytest.mark.parametrize(
    ("any_of", "verdicts", "expected"),
    [
        (False, [BREACH], BREACH),
        (False, [UNKNOWN], UNKNOWN),
        (False, [BREACH, BREACH], BREACH),
        (False, [BREACH, PENDING], PENDING),
        (False, [BREACH, OK], OK),
        (False, [BREACH, UNKNOWN], UNKNOWN),
        (False, [PENDING, UNKNOWN], UNKNOWN),
        (False, [OK, UNKNOWN], OK),
        (True, [OK, BREACH], BREACH),
        (True, [OK, PENDING], PENDING),
        (True, [UNKNOWN, BREACH], BREACH),
        (True, [UNKNOWN, OK], UNKNOWN),
        (True, [UNKNOWN, PENDING], PENDING),
        (True, [OK, OK], OK),
    ],
)
def test_all_and_any(any_of: bool, verdicts: list[Verdict], expected: Verdict) -> None:
    rule = Rule("r", tuple(Condition("cpu", 0.5) for _ in verdicts), any_of=any_of)
    assert combine(rule, verdicts) is expected


def test_below() -> None:
    rule = Rule("idle", (Condition("cpu", 0.2, above=False),), alert=True)
    run = Run(policy(rule))
    assert verdict(run.look(seen(cpu=whole(Measured(0.3)))), "idle") is OK
    assert verdict(run.look(seen(cpu=whole(Measured(0.1)))), "idle") is BREACH


def test_a_stale_sample_is_unknown() -> None:
    run = Run(policy(CPU))
    run.look()
    old = whole(Measured(0.9), at=run.now - 1000)
    decision = decide(run.policy, {"cpu": old}, run.target, run.memory, run.now + 15)
    assert verdict(decision, CPU.name) is UNKNOWN
    assert decision.signals[0].reason == "Stale"


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_what_is_no_number_is_unknown(value: float) -> None:
    run = Run(policy(Rule("r", (Condition("cpu", 0.7),), scale_up=ScaleUp(to_target=True))))
    decision = run.look(seen(cpu=whole(Measured(value))))
    assert verdict(decision, "r") is UNKNOWN
    assert decision.signals[0].reason == "NotANumber"
    assert not decision.commands


def test_a_signal_that_was_not_asked_for_is_unknown() -> None:
    decision = Run(policy(CPU)).look({})
    assert verdict(decision, CPU.name) is UNKNOWN
    assert decision.signals[0].reason == "NotObserved"


def test_a_rule_that_reads_otherwise_now_starts_afresh() -> None:
    run = Run(policy(CPU))
    for _ in range(4):
        run.look(seen(cpu=whole(Measured(0.9))))
    run.policy = policy(Rule(CPU.name, (Condition("latency-p99", 0.1, hold=60.0),), scale_up=ScaleUp(pods=2)))
    assert verdict(run.look(), CPU.name) is PENDING


def test_another_for_keeps_the_first_crossing() -> None:
    run = Run(policy(CPU))
    for _ in range(4):
        run.look(seen(cpu=whole(Measured(0.9))))
    run.policy = policy(Rule(CPU.name, (Condition("cpu", 0.7, hold=60.0),), scale_up=ScaleUp(pods=2)))
    assert verdict(run.look(seen(cpu=whole(Measured(0.9)))), CPU.name) is BREACH


def test_wakes_when_a_for_is_over() -> None:
    run = Run(policy(CPU))
    begun = run.look(seen(cpu=whole(Measured(0.9))))
    assert begun.wake == begun.at + 120
    assert run.look(seen(cpu=unknown())).wake is None


def test_a_comparison_with_the_baseline_is_compiled_and_never_crossed_by_a_value() -> None:
    [rule] = compiled({"signal": "latency-p99", "worseThan": "baseline", "by": "15%", "for": "30s"}).rules
    [condition] = rule.conditions
    assert (condition.worse_by, condition.hold, rule.signature) == (0.15, 30.0, "latency-p99>baseline+0.15")
    assert judge(condition, Signal("latency-p99", unit="seconds"), Measured(1e9)).crossed is False
    assert format_condition(condition, "seconds") == "worse than its baseline by 15% for 30s"


def test_a_comparison_with_the_baseline_has_a_margin_by_default() -> None:
    assert compiled({"signal": "error-rate", "worseThan": "baseline"}).rules[0].conditions[0].worse_by == 0.2


def compiled(when: dict[str, str]) -> Policy:
    spec = {
        "targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"},
        "rules": [{"name": "worse", "when": when, "then": [{"pauseRollout": {}}]}],
    }
    document = {
        "apiVersion": "resilience-operator.io/v1alpha1",
        "kind": "ResiliencePolicy",
        "metadata": {"name": "web"},
    }
    parsed = parse_policy({**document, "spec": spec})
    return compile_policy(parsed.spec, uid="u", namespace="shop", name="web", generation=1)


QUEUE = Signal("queue", total=True)
LONG_QUEUE = Rule("long-queue", (Condition("queue", 30.0),), scale_up=ScaleUp(to_target=True))


@pytest.mark.parametrize(("pods", "value"), [(1, 100.0), (2, 50.0), (4, 25.0)])
def test_a_total_is_divided_by_the_pods(pods: int, value: float) -> None:
    own = policy(LONG_QUEUE, signals={"queue": QUEUE})
    seen_total = {"queue": Observation(T0, Measured(100.0))}
    decision = decide(own, seen_total, target(replicas=pods, ready=pods), Memory(), T0)
    assert [signal.value for signal in decision.signals] == [value]
    steady = detect_steady_state(decision, seen_total, target(replicas=pods, ready=pods), decision.memory)
    assert steady is None or steady.bounds is None, "the number of pods decides, so that bare numbers do not suffice"
