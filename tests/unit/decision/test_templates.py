"""A rollback goes only to a template that was seen to run: the memory keeps its digest."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from resilience_operator.decision.model.memory import Memory, Phase
from resilience_operator.decision.model.memory_codec import dump_memory, load_memory
from resilience_operator.decision.model.target import Revision, TargetState
from tests.unit.decision.builders import (
    DAY,
    FAILING,
    HEALTHY,
    T0,
    Run,
    policy,
    ratio,
    releasing,
    rolled_out,
    seen,
    split,
    target,
    verbs,
)

GOOD = seen(error_rate=split(a=ratio(6, 6000), b=ratio(6, 6000)))
BAD = seen(error_rate=split(a=ratio(6, 6000), b=ratio(600, 6000)))


def with_templates(state: TargetState, **templates: str) -> TargetState:
    """The target with digests: each revision's is `template-<name>`, unless named otherwise."""
    revisions = tuple(
        replace(r, template=templates.get(r.name, f"template-{r.name}"), kept_in=r.owner, uid=f"uid-{r.name}")
        for r in state.revisions
    )
    current = next((r.template for r in revisions if r.name == state.revision), "")
    return replace(state, revisions=revisions, template=current)


def watched() -> Run:
    """Revision `a` is good, and `b` is being released."""
    run = Run(policy(FAILING), target=with_templates(target()))
    run.look()
    assert run.memory.release is not None
    assert (run.memory.release.good, run.memory.release.good_template) == ("a", "template-a")
    run.target = with_templates(releasing())
    run.look(GOOD)
    return run


def outcomes(run: Run, looks: int = 8) -> tuple[list[str], list[str]]:
    done, told = [], []
    for _ in range(looks):
        decision = run.look(BAD)
        done += verbs(decision)
        told += [n.reason for n in decision.notices if n.warning]
    return done, told


def test_the_template_that_ran_is_restored() -> None:
    run = watched()
    assert outcomes(run)[0][-1] == "rollback"
    assert run.memory.release is not None
    assert (run.memory.release.revision, run.memory.release.template) == ("a", "template-a")


def test_another_template_under_the_good_name_is_not_restored() -> None:
    run = watched()
    run.target = with_templates(run.target, a="planted")
    assert outcomes(run) == (["pauseRollout"], ["GoodRevisionChanged"])


def test_a_template_of_its_own_name_that_never_ran_is_not_restored() -> None:
    """Whoever may create ReplicaSets adds one that claims to be older than all others."""
    run = watched()
    planted = Revision("planted", "checkout-planted", 0, T0 - DAY, 0, 0, "checkout-planted", "uid-p", "planted")
    run.target = replace(run.target, revisions=(planted, *run.target.revisions))
    done, _ = outcomes(run)
    assert done[-1] == "rollback"
    assert run.memory.release is not None
    assert run.memory.release.revision == "a"


def test_the_bake_remembers_the_template_that_was_watched() -> None:
    run = watched()
    run.target = with_templates(rolled_out())
    run.look(GOOD)
    run.bake(GOOD)
    assert run.memory.release is not None
    assert (run.memory.release.phase, run.memory.release.good, run.memory.release.good_template) == (
        Phase.STABLE,
        "b",
        "template-b",
    )


def test_another_template_under_the_running_name_is_another_release() -> None:
    run = Run(policy(FAILING), target=with_templates(target()))
    run.look()
    run.look(revisions=with_templates(target(), a="edited").revisions, template="edited", rolled_out=False)
    assert run.memory.release is not None
    assert (run.memory.release.phase, run.memory.release.template) == (Phase.PROGRESSING, "edited")


def older(memory: Memory) -> Memory:
    """The memory as a version without digests would have written it."""
    dumped: dict[str, Any] = dump_memory(memory)
    assert dumped["release"].pop("template")
    assert dumped["release"].pop("goodTemplate")
    return load_memory(dumped)


def test_an_older_memory_of_a_stable_target_is_completed() -> None:
    run = Run(policy(FAILING), target=with_templates(target()))
    run.look()
    before = run.memory
    run.memory = older(before)
    decision = run.look()
    assert run.memory == before
    assert (decision.commands, decision.notices) == ((), ())


def test_an_older_memory_of_a_release_under_way_still_rolls_back() -> None:
    run = watched()
    run.memory = older(run.memory)
    done, _ = outcomes(run)
    assert done[-1] == "rollback"
    assert run.memory.release is not None
    assert run.memory.release.good_template == "template-a"


def test_an_older_memory_takes_no_template_over_that_was_made_since() -> None:
    run = watched()
    run.memory = older(run.memory)
    made_anew = replace(run.target.revisions[0], created=run.now + 1, template="planted")
    run.target = replace(run.target, revisions=(made_anew, *run.target.revisions[1:]))
    assert outcomes(run) == (["pauseRollout"], ["GoodRevisionChanged"])


@pytest.mark.parametrize("good_template", ["", "template-a"])
def test_a_forged_digest_in_the_memory_restores_nothing_else(good_template: str) -> None:
    """The status is the operator's own; even so, a digest alone names no template."""
    run = watched()
    assert run.memory.release is not None
    run.memory = replace(run.memory, release=replace(run.memory.release, good="gone", good_template=good_template))
    assert outcomes(run) == (["pauseRollout"], ["GoodRevisionGone"])


def test_a_target_without_digests_is_followed_by_name() -> None:
    """Replay and simulate know no templates."""
    run = Run(policy(FAILING), target=target())
    run.look(HEALTHY)
    run.target = releasing()
    run.look(GOOD)
    assert outcomes(run)[0][-1] == "rollback"
