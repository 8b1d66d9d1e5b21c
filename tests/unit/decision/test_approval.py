"""Approval of rollbacks: asked once, answered by people, and decided without an answer as the policy says."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from resilience_operator.api.orders import ANSWER, ANSWERED_BY, REQUEST, read_orders
from resilience_operator.decision.decide import Decision
from resilience_operator.decision.model.memory import Phase
from resilience_operator.decision.model.memory_codec import dump_memory, load_memory
from resilience_operator.decision.model.policy import Approval, Rollback, Rule
from tests.unit.decision.builders import (
    BAD_B,
    FAILING,
    GOOD_B,
    Run,
    policy,
    reasons,
    releasing,
    revision,
    seen,
    target,
    verbs,
)

BAD, GOOD = seen(error_rate=BAD_B), seen(error_rate=GOOD_B)
ACT = replace(FAILING, rollback=Rollback(after=30.0, approval=Approval(300.0)))
HOLD = replace(FAILING, rollback=Rollback(after=30.0, approval=Approval(300.0, act=False)))


def asking(*rules: Rule) -> tuple[Run, Decision]:
    """`b` fails, is paused, and is to be rolled back."""
    run = Run(policy(*(rules or (ACT,))))
    run.look()
    run.target = releasing()
    for _ in range(10):
        decision = run.look(BAD)
        if run.memory.request is not None:
            return run, decision
    raise AssertionError("nothing was asked")


def answered(run: Run, verdict: str, *, request: str | None = None, by: str = "ann") -> None:
    assert run.memory.request is not None
    given = {ANSWER: verdict, REQUEST: request or run.memory.request.id, ANSWERED_BY: by}
    run.policy = replace(run.policy, orders=read_orders(given))


def test_a_rollback_is_asked_for_once_and_the_release_is_paused() -> None:
    run, decision = asking()
    assert run.target.paused
    (notice,) = [n for n in decision.notices if n.reason == "ApprovalNeeded"]
    assert notice.warning
    for part in (
        "kubectl resilience approve checkout -n shop",
        "kubectl resilience deny checkout -n shop",
        "revision b of Deployment checkout is to be rolled back to a",
        "error-rate",
        "Without an answer it is rolled back after 5m",
    ):
        assert part in notice.message
    assert run.memory.request is not None
    assert decision.wake == run.memory.request.asked_at + 300.0
    decision = run.look(BAD)
    assert (verbs(decision), reasons(decision)) == ([], [])


def test_an_approval_rolls_back_and_is_recorded() -> None:
    run, _ = asking()
    answered(run, "approve")
    decision = run.look(BAD)
    assert verbs(decision) == ["rollback"]
    assert decision.commands[0].message.endswith("; approved by ann")
    assert run.memory.request is None
    assert run.release.phase is Phase.ROLLING_BACK


def test_a_denial_is_recorded_once_and_holds_for_the_revision() -> None:
    run, _ = asking()
    answered(run, "deny")
    decision = run.look(BAD)
    assert verbs(decision) == ["denyRollback"]
    assert "ann denied the rollback of revision b to a" in decision.commands[0].message
    for _ in range(40):
        decision = run.look(BAD)
        assert (verbs(decision), reasons(decision)) == ([], [])
    run.memory = load_memory(dump_memory(run.memory))
    assert verbs(run.look(BAD)) == []
    answered(run, "approve", by="bob")
    decision = run.look(BAD)
    assert verbs(decision) == ["rollback"]
    assert "approved by bob" in decision.commands[0].message


def test_a_denial_counts_while_the_rollback_is_not_due() -> None:
    run, _ = asking()
    answered(run, "deny")
    assert verbs(run.look({})) == ["denyRollback"]  # no metrics: nothing is due
    assert run.memory.request is not None
    assert (run.memory.request.denied, run.memory.request.by) == (True, "ann")
    assert [verb for _ in range(10) for verb in verbs(run.look(BAD))] == []


def test_an_approval_holds_until_the_rollback_is_due() -> None:
    run, _ = asking()
    answered(run, "approve")
    assert verbs(run.look({})) == []
    run.memory = load_memory(dump_memory(run.memory))
    assert run.memory.request is not None
    assert (run.memory.request.approved, run.memory.request.by) == (True, "ann")
    decision = run.look(BAD)
    assert verbs(decision) == ["rollback"]
    assert decision.commands[0].message.endswith("; approved by ann")


def test_an_approval_that_is_taken_back_does_not_count() -> None:
    run, _ = asking()
    answered(run, "approve")
    run.look({})
    run.policy = replace(run.policy, orders=read_orders({}))
    assert verbs(run.look(BAD)) == []
    assert run.memory.request is not None
    assert (run.memory.request.approved, run.memory.request.by) == (False, "")


def test_a_later_answer_replaces_an_earlier_one_while_nothing_is_due() -> None:
    run, _ = asking()
    answered(run, "approve", by="bob")
    run.look({})
    answered(run, "deny")
    assert verbs(run.look({})) == ["denyRollback"]
    answered(run, "approve", by="bob")
    run.look({})
    assert verbs(run.look(BAD)) == ["rollback"]


@pytest.mark.parametrize("request_id", ["b@1", "a@1000000000", "b", "c@1000000045"])
def test_an_answer_to_another_request_does_not_count(request_id: str) -> None:
    run, _ = asking()
    answered(run, "approve", request=request_id)
    assert verbs(run.look(BAD)) == []


@pytest.mark.parametrize("annotations", [{ANSWER: "yes", REQUEST: "x"}, {ANSWER: "approve"}, {REQUEST: "x"}, {}])
def test_what_is_not_an_answer(annotations: dict[str, Any]) -> None:
    assert read_orders(annotations).answer is None


def test_without_an_answer_it_is_rolled_back() -> None:
    run, _ = asking()
    assert run.memory.request is not None
    due = run.memory.request.asked_at + 300.0
    assert verbs(run.look(BAD, after=due - 1 - run.now)) == []
    decision = run.look(BAD, after=1.0)
    assert verbs(decision) == ["rollback"]
    assert decision.commands[0].message.endswith("; nobody answered within 5m")


def test_without_an_answer_it_is_held_if_the_policy_says_so() -> None:
    run, decision = asking(HOLD)
    assert "Without an answer it stays" in decision.notices[-1].message
    decision = run.look(BAD, after=300.0)
    assert (verbs(decision), reasons(decision)) == ([], ["ApprovalMissing"])
    assert reasons(run.look(BAD, after=3600.0)) == []
    answered(run, "approve")
    assert verbs(run.look(BAD)) == ["rollback"]


def test_a_request_outlives_a_restart_and_a_gap_in_metrics() -> None:
    run, _ = asking()
    request = run.memory.request
    run.memory = load_memory(dump_memory(run.memory))
    run.look({})
    assert run.memory.request == request
    run.look(BAD)
    assert run.memory.request == request


def test_a_release_that_recovers_is_asked_about_anew() -> None:
    run, _ = asking()
    first = run.memory.request
    for _ in range(30):
        run.look(GOOD)
    assert run.memory.request is None
    answered_before = first.id if first is not None else ""
    for _ in range(30):
        decision = run.look(BAD)
        if run.memory.request is not None:
            break
    assert run.memory.request is not None, reasons(decision)
    assert run.memory.request.id != answered_before


def test_the_next_release_needs_its_own_approval() -> None:
    run, _ = asking()
    answered(run, "deny")
    run.look(BAD)
    run.look(revision=None, template="c")
    run.target = replace(releasing("c"), template="c")
    run.look()
    assert run.memory.request is None


def test_one_rule_that_asks_nobody_is_sufficient() -> None:
    run = Run(policy(ACT, replace(FAILING, name="other")))
    run.look()
    run.target = releasing()
    done = [verb for _ in range(5) for verb in verbs(run.look(BAD))]
    assert "rollback" in done
    assert run.memory.request is None


def test_a_quarantined_revision_that_is_applied_again_needs_no_approval() -> None:
    run, _ = asking()
    answered(run, "approve")
    run.look(BAD)
    run.target = target(revisions=(revision("a", 3), revision("b", 2, replicas=0)))
    run.look()
    run.target = releasing()
    done = [verb for _ in range(3) for verb in verbs(run.look(BAD))]
    assert done[0] == "rollback"
