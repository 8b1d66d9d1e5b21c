"""A hold ends when the source has a new version, and with everything that it was made for."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from resilience_operator.api.lifts import Lift
from resilience_operator.api.orders import Orders
from resilience_operator.decision.fast_path import detect_steady_state
from resilience_operator.decision.model.commands import Command, Outcome, Result, Verb
from resilience_operator.decision.model.memory import HoldMemory, Intent, Memory, Phase, Quarantine, ReleaseMemory
from resilience_operator.decision.model.memory_codec import dump_memory, load_memory
from resilience_operator.decision.model.policy import Mode, Policy, Release
from resilience_operator.decision.model.target import DeliveredBy, SourceState, TargetState
from resilience_operator.decision.outcomes import apply_outcomes, recover_intent
from resilience_operator.decision.release.gitops_hold import REMINDER, HoldPlan, plan_hold
from resilience_operator.decision.release.quarantine import current_quarantine
from tests.unit.decision.builders import FAILING, HEALTHY, T0, Run, policy, target

OWNER = DeliveredBy("Kustomization", "flux-system", "shop")
HOLD = HoldMemory("b", str(OWNER), "one", since=T0)
BAD = Quarantine("b", T0, ("failing",), "error-rate is 20%")
RELEASE = ReleaseMemory(Phase.PROGRESSING, T0, "b", good="a")
POLICY = replace(policy(), release=Release(hold_delivery=True))


ONE = SourceState("one")


def held(source: SourceState | None = ONE, **fields: Any) -> TargetState:
    return replace(
        target(), **{"delivered_by": OWNER, "hold_marked": True, "reconcile_disabled": True, "source": source, **fields}
    )


def planned(
    found: TargetState, hold: HoldMemory | None = HOLD, *, of: Policy = POLICY, bad: tuple[Quarantine, ...] = (BAD,)
) -> HoldPlan:
    return plan_hold(of, found, hold, bad, (), T0 + 60)


@pytest.mark.parametrize("source", [SourceState("one"), SourceState("one", settled=False), None])
def test_it_goes_on_while_the_source_is_the_same_or_unknown(source: SourceState | None) -> None:
    assert planned(held(source)) == HoldPlan(HOLD)


@pytest.mark.parametrize(
    ("found", "hold", "reason"),
    [
        (held(SourceState("two")), HOLD, "SourceChanged"),
        (held(SourceState("two", settled=False)), HOLD, "SourceChanged"),
        (held(), replace(HOLD, uncertain=True), "SourceChanged"),
        (held(SourceState("")), HOLD, "OwnerChanged"),
        (held(delivered_by=None), HOLD, "OwnerChanged"),
        (held(delivered_by=DeliveredBy("Kustomization", "flux-system", "other")), HOLD, "OwnerChanged"),
        (held(), None, "HoldUnknown"),
        (held(), replace(HOLD, since=None), "HoldUnknown"),
    ],
)
def test_it_ends(found: TargetState, hold: HoldMemory | None, reason: str) -> None:
    (command,) = planned(found, hold).commands
    assert (command.verb, command.reason) == (Verb.LIFT_HOLD, reason)


def test_a_version_that_is_being_applied_is_not_known_yet() -> None:
    unknown = replace(HOLD, uncertain=True)
    assert planned(held(SourceState("one", settled=False)), unknown) == HoldPlan(unknown)


def test_it_ends_with_the_quarantine_and_with_the_setting() -> None:
    assert [c.reason for c in planned(held(), bad=()).commands] == ["QuarantineEnded"]
    tell = replace(POLICY, release=Release())
    assert [c.reason for c in planned(held(), of=tell).commands] == ["HoldTurnedOff"]


def test_a_dry_run_and_a_rollback_leave_it() -> None:
    assert planned(held(SourceState("two")), of=replace(POLICY, mode=Mode.DRY_RUN)).commands == ()
    rollback = Command(Verb.ROLLBACK, "QuarantinedReapplied", "", from_="b", to="a")
    assert plan_hold(POLICY, held(SourceState("two")), HOLD, (BAD,), (rollback,), T0).commands == ()


def test_a_mark_that_somebody_removed_ends_it() -> None:
    found = planned(held(hold_marked=False))
    assert found == HoldPlan(replace(HOLD, since=None))
    assert planned(held(hold_marked=False), bad=()) == HoldPlan()


def test_it_is_reminded_of_once_a_day() -> None:
    keys = [
        [n.key for n in plan_hold(POLICY, held(), HOLD, (BAD,), (), T0 + days * REMINDER).notices]
        for days in (0.9, 1.0, 1.9, 2.0)
    ]
    assert keys == [[], ["gitops-held/1/b"], ["gitops-held/1/b"], ["gitops-held/2/b"]]


def rollback(source: str = "one", *, uncertain: bool = False) -> Command:
    arguments = {"hold": str(OWNER), "source": source, "uncertain": uncertain}
    return Command(Verb.ROLLBACK, "ReleaseFailing", "it fails", from_="b", to="a", arguments=arguments)


def applied(memory: Memory, command: Command, now: float = T0) -> Memory:
    return apply_outcomes(memory, [Outcome(command, Result.DONE)], held(), now)


def lifted(source: str) -> Command:
    return Command(Verb.LIFT_HOLD, "SourceChanged", "", from_="b", arguments={"source": source})


def test_a_rollback_begins_it_and_a_new_version_is_tried_once() -> None:
    memory = applied(Memory(release=RELEASE), rollback(uncertain=True))
    assert memory.hold == replace(HOLD, uncertain=True)
    memory = applied(memory, lifted("two"))
    assert memory.hold == replace(HOLD, source="two", since=None)
    assert [(q.rollbacks, q.at) for q in memory.quarantined] == [(0, T0)]
    # Flux is still applying that version when it is rolled back: it is the one that the hold was lifted for.
    memory = applied(memory, rollback("two", uncertain=True), T0 + 9)
    assert memory.hold == replace(HOLD, source="two", since=T0 + 9)
    assert [q.rollbacks for q in memory.quarantined] == [1]
    assert load_memory(dump_memory(memory)).hold == memory.hold


def test_a_rollback_without_a_hold_keeps_what_is_known() -> None:
    memory = replace(Memory(release=RELEASE), hold=HOLD)
    plain = Command(Verb.ROLLBACK, "ReleaseFailing", "it fails", from_="b", to="a")
    assert applied(memory, plain).hold == HOLD


@pytest.mark.parametrize("marked", [True, False])
def test_an_interrupted_lift_is_recovered(marked: bool) -> None:
    memory = Memory(release=RELEASE, hold=HOLD, quarantined=(BAD,), intent=Intent(T0, (lifted("two"),)))
    after, done = recover_intent(memory, held(hold_marked=marked))
    assert bool(done) is not marked
    assert after.hold == (HOLD if marked else replace(HOLD, source="two", since=None))


def test_a_held_revision_stays_quarantined_until_its_source_changes() -> None:
    """Otherwise the tool would apply it again after a day, although nobody changed anything."""
    later = T0 + 3 * POLICY.release.quarantine
    assert current_quarantine((BAD,), POLICY, later, HOLD)[0] == (BAD,)
    for hold in (None, replace(HOLD, since=None), replace(HOLD, revision="c")):
        assert current_quarantine((BAD,), POLICY, later, hold)[0] == ()
    # A person still ends it.
    lifted_by = replace(POLICY, orders=Orders(lifts=(Lift("b", later, "anna"),)))
    assert current_quarantine((BAD,), lifted_by, later, HOLD)[0] == ()
    # The new version of the source may be rolled back at once, however late it comes.
    memory = Memory(release=RELEASE, hold=HOLD, quarantined=(BAD,))
    memory = applied(memory, lifted("two"), later)
    assert current_quarantine(memory.quarantined, POLICY, later + 60, memory.hold)[0] == memory.quarantined


@pytest.mark.parametrize("marked", [False, True])
def test_a_held_target_is_always_evaluated_in_full(marked: bool) -> None:
    """Its source changes without a change of the target."""
    hold = HOLD if marked else replace(HOLD, since=None)
    run = Run(replace(policy(FAILING), release=POLICY.release))
    run.look()
    run.memory = replace(run.memory, hold=hold, quarantined=(BAD,))
    run.target = replace(run.target, delivered_by=OWNER, hold_marked=marked, source=ONE if marked else None)
    run.look()
    before = run.memory
    decision = run.look()
    assert decision.memory.hold == hold
    observations = {name: o._replace(at=run.now) for name, o in HEALTHY.items()}
    assert (detect_steady_state(decision, observations, run.target, before) is None) is marked
