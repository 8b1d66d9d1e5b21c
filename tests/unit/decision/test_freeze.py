"""Freezes: the rollout is paused beforehand, a template waits, and everything else goes on."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from resilience_operator.api.cron import parse_cron, parse_zone
from resilience_operator.api.orders import FREEZE_UNTIL, NO_ORDERS, read_orders
from resilience_operator.api.pause import moment_text
from resilience_operator.decision.decide import Decision
from resilience_operator.decision.fast_path import detect_steady_state
from resilience_operator.decision.model.commands import Result
from resilience_operator.decision.model.memory import Phase
from resilience_operator.decision.model.memory_codec import dump_memory, load_memory
from resilience_operator.decision.model.policy import FreezeWindow, Mode, Release
from resilience_operator.decision.outcomes import recover_intent
from resilience_operator.status.conditions import conditions_of
from tests.unit.decision.builders import (
    BAD_B,
    FAILING,
    GOOD_B,
    HEALTHY,
    T0,
    Run,
    policy,
    ratio,
    reasons,
    releasing,
    revision,
    rolled_out,
    seen,
    split,
    target,
    verbs,
)

# T0 is 2001-09-09T01:46:40Z. The freeze lasts from 01:50 to 03:50.
WINDOW = FreezeWindow(parse_cron("50 1 * * *"), parse_zone("UTC"), 7200.0)
START, END = T0 + 200.0, T0 + 7400.0


def run(kind: str = "Deployment", **fields: Any) -> Run:
    """`a` runs everywhere and is good."""
    found = Run(policy(FAILING, **{"release": Release(freezes=(WINDOW,)), **fields}))
    found.target = replace(found.target, kind=kind)
    obeyed(found, found.look())
    assert found.release.phase is Phase.STABLE
    return found


def obeyed(run: Run, decision: Decision) -> Decision:
    """The API server shows the pause or its end."""
    for command in decision.commands:
        if command.verb in ("freezeRollout", "unfreezeRollout"):
            paused = command.verb == "freezeRollout"
            run.target = replace(
                run.target, paused=paused, paused_by="resilience-operator" if paused else "", pause_marked=paused
            )
    return decision


def frozen(kind: str = "Deployment", **fields: Any) -> Run:
    """A freeze has begun, and the rollout is paused."""
    found = run(kind, **fields)
    decision = obeyed(found, found.look(after=START - found.now))
    assert verbs(decision) == ["freezeRollout"]
    return found


def waiting(kind: str = "Deployment", **fields: Any) -> tuple[Run, Decision]:
    """A template has arrived in the freeze."""
    found = frozen(kind, **fields)
    found.look()
    new: dict[str, Any] = {"revision": None, "template": "new", "rolled_out": False, "template_by": "argocd-controller"}
    if kind == "StatefulSet":
        new |= {"revision": "b", "revisions": (*found.target.revisions, revision("b", 2, age=-300.0, replicas=0))}
    return found, found.look(**new)


def condition(decision: Decision, run: Run) -> tuple[str, str, str]:
    found = next(c for c in conditions_of(decision, run.memory, ()) if c.type == "ReleaseHealthy")
    return found.status, found.reason, found.message


def test_before_the_freeze_nothing_happens_and_its_start_is_awaited() -> None:
    found = run()
    decision = found.look()
    assert verbs(decision) == []
    assert decision.wake == START
    assert found.memory.freeze is None


@pytest.mark.parametrize("kind", ["Deployment", "StatefulSet"])
def test_the_rollout_is_paused_when_the_freeze_begins_and_resumed_when_it_ends(kind: str) -> None:
    found = frozen(kind)
    decision = found.look()
    assert (verbs(decision), reasons(decision)) == ([], [])
    assert condition(decision, found)[:2] == ("True", "Frozen")
    assert found.release.phase is Phase.STABLE
    assert decision.wake == END
    ended = obeyed(found, found.look(after=END - found.now))
    assert [(c.verb, c.reason) for c in ended.commands] == [("unfreezeRollout", "FreezeEnded")]
    decision = found.look()
    assert (verbs(decision), found.memory.freeze) == ([], None)
    assert condition(decision, found)[:2] == ("True", "NoRelease")


@pytest.mark.parametrize("kind", ["Deployment", "StatefulSet"])
def test_a_template_that_arrives_waits_and_is_reported_once(kind: str) -> None:
    found, decision = waiting(kind)
    assert (verbs(decision), reasons(decision)) == ([], ["FreezeHolds"])
    (notice,) = decision.notices
    assert "Argo CD" in notice.message
    assert "2001-09-09T03:50:00Z" in notice.message
    assert "50 1 * * * in UTC" in notice.message
    assert condition(decision, found) == ("True", "Frozen", notice.message)
    assert found.release.phase is Phase.STABLE
    decision = found.look()
    assert (verbs(decision), reasons(decision)) == ([], [])
    assert reasons(found.look(template="newer")) == ["FreezeHolds"]
    obeyed(found, found.look(after=END - found.now))
    new = releasing(kind=kind, template="newer")
    decision = found.look(revision="b", revisions=new.revisions, template="newer", paused=False, paused_by="")
    assert found.release.phase is Phase.PROGRESSING
    assert found.release.revision == "b"
    assert verbs(decision) == []


def test_scaling_goes_on() -> None:
    found = frozen(release=Release(freezes=(WINDOW,)))
    decision = found.look(replicas=2, ready=2)
    assert "scaleUp" in verbs(decision)


def test_a_release_under_way_is_completed_and_its_rollback_is_not_held() -> None:
    found = run()
    found.target = releasing()
    found.look(after=START - 10 - found.now)
    assert verbs(found.look(seen(error_rate=split(a=ratio(3, 3000), b=ratio(3, 3000))), after=20.0)) == []
    assert verbs(found.look(seen(error_rate=BAD_B))) == ["pauseRollout"]
    assert [verb for _ in range(3) for verb in verbs(found.look(seen(error_rate=BAD_B)))] == ["rollback"]
    found.target = target(revisions=(revision("a", 3), revision("b", 2, replicas=0)))
    decision = obeyed(found, found.look())
    assert found.release.phase is Phase.ROLLED_BACK
    assert verbs(decision) == ["freezeRollout"]


def test_a_bad_revision_in_its_bake_is_rolled_back_during_a_freeze() -> None:
    found = run()
    found.target = rolled_out("b")
    found.look(after=START - 20 - found.now)
    obeyed(found, found.look(after=30.0))
    assert found.memory.freeze is not None
    assert found.memory.freeze.held_since is not None
    assert found.release.phase is Phase.BAKING
    done: list[str] = []
    for _ in range(8):
        done += verbs(found.look(seen(error_rate=BAD_B)))
        if "pauseRollout" in done:
            found.target = replace(found.target, paused=True, paused_by="resilience-operator")
        if "rollback" in done:
            break
    assert done == ["pauseRollout", "rollback"]
    assert found.memory.freeze.held_since is None


def test_a_template_that_arrived_before_the_pause_is_held_where_it_is() -> None:
    found = run()
    found.look(after=START + 5 - found.now)  # the pause was lost
    found.memory = replace(found.memory, freeze=None)
    found.target = releasing()
    decision = obeyed(found, found.look())
    assert verbs(decision) == ["freezeRollout"]
    decision = found.look()
    assert reasons(decision) == ["FreezeHolds"]
    assert verbs(decision) == []


def test_a_second_template_during_a_release_under_way_is_held() -> None:
    found = run()
    found.target = releasing()
    found.look(after=START - 10 - found.now)
    assert verbs(found.look(seen(error_rate=GOOD_B), after=20.0)) == []
    found.target = releasing("c", "b")
    decision = obeyed(found, found.look())
    assert verbs(decision) == ["freezeRollout"]
    assert reasons(found.look()) == ["FreezeHolds"]


def test_a_rollback_by_a_person_during_a_release_under_way_is_not_held() -> None:
    found = run()
    found.target = releasing()
    found.look(after=START - 10 - found.now)
    found.look(seen(error_rate=GOOD_B), after=20.0)
    back = releasing("a", "b", template_by="kubectl-rollout")
    decision = found.look(revision="a", revisions=back.revisions, template_by="kubectl-rollout")
    assert verbs(decision) == []
    assert found.release.phase is Phase.PROGRESSING


def test_a_pause_that_fails_is_tried_again() -> None:
    found = run()
    found.result = Result.SUPERSEDED
    assert verbs(found.look(after=START - found.now)) == ["freezeRollout"]
    found.target = releasing()
    assert verbs(found.look()) == ["freezeRollout"]
    assert verbs(found.look()) == ["freezeRollout"]


def test_a_person_who_resumes_the_rollout_ends_the_freeze_for_it() -> None:
    found, _ = waiting()
    found.look()
    new = releasing(template="new")
    decision = found.look(paused=False, paused_by="", revision="b", revisions=new.revisions)
    assert verbs(decision) == []
    assert "FreezeLifted" in reasons(decision)
    assert found.release.phase is Phase.PROGRESSING
    for _ in range(4):
        assert verbs(found.look()) == []
    # The next freeze holds again.
    found.look(after=END + 60 - found.now)
    assert found.memory.freeze is None
    found.look(revisions=rolled_out("b").revisions, rolled_out=True)
    assert found.release.phase is Phase.BAKING
    assert verbs(found.look(after=START + 86400 - found.now)) == ["freezeRollout"]


@pytest.mark.parametrize(
    "lifted",
    [
        {"resumed_by": "argocd-controller"},
        {"pause_marked": False, "template_by": "argocd-controller"},
        {"resumed_by": "helm"},
    ],
)
def test_a_machine_that_lifts_the_pause_does_not_end_the_freeze(lifted: dict[str, Any]) -> None:
    found = frozen()
    found.look()
    decision = obeyed(found, found.look(**{"paused": False, "paused_by": "", **lifted}))
    assert verbs(decision) == ["freezeRollout"]
    assert reasons(decision) == ["PauseLifted"]
    found.look(resumed_by="")
    decision = found.look(**{"paused": False, "paused_by": "", **lifted})
    assert verbs(decision) == [], "it is lifted twice: the operator does not fight"


def test_a_pause_by_a_person_is_theirs() -> None:
    found = run()
    decision = found.look(after=START - found.now, paused=True, paused_by="kubectl-rollout")
    assert verbs(decision) == []
    assert verbs(found.look(after=END + 1 - found.now)) == []
    assert found.target.paused


def test_a_release_that_is_paused_because_it_fails_waits_with_its_fix() -> None:
    found = run()
    found.target = releasing()
    found.policy = replace(found.policy, rules=(replace(FAILING, rollback=None),))
    found.look(after=START - 40 - found.now)
    assert verbs(found.look(seen(error_rate=BAD_B))) == ["pauseRollout"]
    found.look(seen(error_rate=BAD_B), after=30.0, pause_marked=True)
    decision = found.look(seen(error_rate=BAD_B), revision=None, template="fix")
    assert verbs(decision) == []
    assert "FreezeHolds" in reasons(decision)
    decision = found.look(seen(error_rate=BAD_B), after=END + 1 - found.now)
    assert [(c.verb, c.reason) for c in decision.commands] == [("resumeRollout", "NewRelease")]


@pytest.mark.parametrize(("kind", "fields"), [("DaemonSet", {}), ("StatefulSet", {"can_pause": False})])
def test_what_cannot_be_paused_is_only_reported(kind: str, fields: dict[str, Any]) -> None:
    found = run(kind)
    found.target = replace(found.target, **fields)
    assert verbs(found.look(after=START - found.now)) == []
    new = releasing(kind=kind, **fields)
    decision = found.look(revision="b", revisions=new.revisions, rolled_out=False)
    assert (verbs(decision), reasons(decision)) == ([], ["FreezeIgnored"])
    assert reasons(found.look()) == []


def test_a_dry_run_pauses_nothing_and_reports_the_release() -> None:
    found = run(mode=Mode.DRY_RUN)
    assert verbs(found.look(after=START - found.now)) == []
    found.target = releasing()
    assert reasons(found.look()) == ["FreezeIgnored"]


def test_a_restart_forgets_nothing() -> None:
    found, _ = waiting()
    found.memory = load_memory(dump_memory(found.memory))
    decision = found.look()
    assert (verbs(decision), reasons(decision)) == ([], [])
    assert verbs(found.look(after=END - found.now)) == ["unfreezeRollout"]


@pytest.mark.parametrize("written", [False, True])
def test_a_crash_between_the_intent_and_its_status(written: bool) -> None:
    found = run()
    found.result = Result.FAILED
    decision = found.look(after=START - found.now)
    assert verbs(decision) == ["freezeRollout"]
    if written:
        found.target = replace(found.target, paused=True, paused_by="resilience-operator", pause_marked=True)
    found.memory, done = recover_intent(found.memory, found.target)
    assert bool(done) is written
    found.result = Result.DONE
    assert verbs(found.look()) == ([] if written else ["freezeRollout"])
    found.target = replace(found.target, paused=True, paused_by="resilience-operator", pause_marked=True)
    assert verbs(found.look(after=END - found.now)) == ["unfreezeRollout"]


def test_an_annotation_freezes_until_its_time() -> None:
    until = T0 + 3600.0
    orders = read_orders({FREEZE_UNTIL: moment_text(until)})
    found = run(release=Release(), orders=orders)
    assert found.target.paused
    decision = found.look()
    assert decision.wake == until
    assert FREEZE_UNTIL in condition(decision, found)[2]
    # Removing it ends the freeze at once.
    found.policy = replace(found.policy, orders=NO_ORDERS)
    assert verbs(found.look()) == ["unfreezeRollout"]


def test_an_annotation_that_cannot_be_read_freezes_without_end() -> None:
    found = run(release=Release(), orders=read_orders({FREEZE_UNTIL: "tomorrow"}))
    assert found.target.paused
    decision = found.look(after=86400.0 * 30)
    assert verbs(decision) == []
    assert "'tomorrow'" in condition(decision, found)[2]


def test_a_policy_without_freezes_has_no_memory_of_them() -> None:
    found = run(release=Release())
    decision = found.look(after=START - found.now)
    assert decision.memory.freeze is None
    assert "freeze" not in dump_memory(decision.memory)


def test_a_frozen_target_is_evaluated_on_the_fast_path() -> None:
    found = frozen()
    found.look()
    before = found.memory
    decision = found.look()
    observations = {name: o._replace(at=found.now) for name, o in HEALTHY.items()}
    state = detect_steady_state(decision, observations, found.target, before)
    assert state is not None
    assert state.until == END
