"""What is counted of releases: each once, and the time from the breach to the restored revision."""

from __future__ import annotations

from dataclasses import replace

from prometheus_client import REGISTRY

from resilience_operator.decision.model.memory import Phase
from resilience_operator.decision.model.memory_codec import dump_memory, load_memory
from resilience_operator.runtime.telemetry.release_metrics import observe_release
from tests.unit.decision.builders import (
    ALL_B_GOOD,
    BAD_B,
    FAILING,
    GOOD_B,
    Run,
    policy,
    releasing,
    revision,
    rolled_out,
    seen,
    target,
)

NAMES = ("begun", "good", "rolled_back")


def values() -> dict[str, float]:
    found = {n: REGISTRY.get_sample_value("resilience_releases_total", {"result": n}) or 0.0 for n in NAMES}
    found["restored"] = REGISTRY.get_sample_value("resilience_release_restore_seconds_count") or 0.0
    found["seconds"] = REGISTRY.get_sample_value("resilience_release_restore_seconds_sum") or 0.0
    return found


class Counted(Run):
    def look(self, *arguments: object, **changes: object) -> object:  # type: ignore[override]
        before = self.memory.release
        decision = super().look(*arguments, **changes)  # type: ignore[arg-type]
        observe_release(before, self.memory.release, self.now)
        return decision


def since(before: dict[str, float]) -> dict[str, float]:
    return {name: value - before[name] for name, value in values().items() if value != before[name]}


def test_a_good_release_is_begun_and_good_once() -> None:
    run, before = Counted(policy(FAILING)), values()
    run.look()
    assert since(before) == {}, "the first evaluation of a target counts nothing"
    run.target = releasing()
    run.look(seen(error_rate=GOOD_B))
    run.look(seen(error_rate=GOOD_B))
    run.target = rolled_out()
    for _ in range(60):
        run.look(seen(error_rate=ALL_B_GOOD))
    assert run.release.phase is Phase.STABLE
    assert since(before) == {"begun": 1.0, "good": 1.0}


def test_a_rollback_is_counted_with_the_time_since_the_breach() -> None:
    run, before = Counted(policy(FAILING)), values()
    run.look()
    run.target = releasing()
    while run.release.phase is not Phase.ROLLING_BACK:
        run.look(seen(error_rate=BAD_B))
    failing_from = run.release.failing_from
    assert failing_from is not None
    assert run.now - 60 < failing_from <= run.now - 30, "`after` counts from the breach"
    run.memory = load_memory(dump_memory(run.memory))
    run.target = target(revisions=(revision("a", 3), revision("b", 2, replicas=0)))
    run.look()
    assert run.release.phase is Phase.ROLLED_BACK
    assert since(before) == {"begun": 1.0, "rolled_back": 1.0, "restored": 1.0, "seconds": run.now - failing_from}


def test_a_resumed_or_paused_release_is_not_another_one() -> None:
    run, before = Counted(policy(replace(FAILING, rollback=None))), values()
    run.look()
    run.target = releasing()
    for _ in range(3):
        run.look(seen(error_rate=BAD_B))
    for _ in range(60):
        run.look(seen(error_rate=GOOD_B))
    assert since(before) == {"begun": 1.0}
