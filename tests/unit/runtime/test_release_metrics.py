"""What is counted of releases: each once, and the time from the breach to the restored revision."""

from __future__ import annotations

from dataclasses import replace

from prometheus_client import REGISTRY
from prometheus_client.openmetrics import exposition as openmetrics

from resilience_operator.decision.model.memory import Phase
from resilience_operator.decision.model.memory_codec import dump_memory, load_memory
from resilience_operator.runtime.telemetry.release_metrics import observe_release, release_exemplar
from tests.unit.decision.builders import (
    ALL_B_GOOD,
    BAD_B,
    FAILING,
    GOOD_B,
    T0,
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
    found["lead"] = REGISTRY.get_sample_value("resilience_release_lead_time_seconds_sum") or 0.0
    found["seconds"] = REGISTRY.get_sample_value("resilience_release_restore_seconds_sum") or 0.0
    return found


class Counted(Run):
    committed: float | None = None
    exemplar: dict[str, str] | None = None

    def look(self, *arguments: object, **changes: object) -> object:  # type: ignore[override]
        before = self.memory.release
        decision = super().look(*arguments, **changes)  # type: ignore[arg-type]
        observe_release(before, self.memory.release, self.now, committed=self.committed, exemplar=self.exemplar)
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


def good_release(**fields: object) -> Counted:
    run = Counted(policy(FAILING))
    for name, value in fields.items():
        setattr(run, name, value)
    run.look()
    run.target = releasing()
    run.look(seen(error_rate=GOOD_B))
    run.target = rolled_out()
    while run.release.good != "b":
        run.look(seen(error_rate=ALL_B_GOOD))
    return run


def test_the_lead_time_ends_with_the_bake() -> None:
    before = values()
    run = good_release(committed=T0 - 3600)
    assert since(before) == {"begun": 1.0, "good": 1.0, "lead": run.now - T0 + 3600}


def test_a_commit_in_the_future_or_none_has_no_lead_time() -> None:
    before = values()
    good_release(committed=T0 + 1e6)
    good_release()
    assert since(before) == {"begun": 2.0, "good": 2.0}


def test_only_openmetrics_shows_the_policy_of_a_release() -> None:
    good_release(committed=T0 - 3600, exemplar=release_exemplar("shop", "checkout", {"trace_id": "a" * 32}))
    text = openmetrics.generate_latest(REGISTRY).decode()
    labels = '# {policy="shop/checkout",trace_id="' + "a" * 32 + '"}'
    shown = [line.partition("{")[0] for line in text.splitlines() if labels in line]
    assert {"resilience_releases_total", "resilience_release_lead_time_seconds_bucket"} <= set(shown)


def test_an_exemplar_never_exceeds_what_openmetrics_allows() -> None:
    trace = {"trace_id": "a" * 32}
    found = release_exemplar("n" * 63, "p" * 253, trace)
    assert found == trace
    assert release_exemplar("n" * 63, "p" * 253, None) == {}
