"""Replay over the past, simulation over a workload in memory."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from math import inf

from resilience_operator.decision.model.commands import Command, Result, Verb
from resilience_operator.decision.model.memory import Phase
from resilience_operator.decision.model.observation import Measured, Observation
from resilience_operator.decision.model.policy import Mode
from resilience_operator.decision.model.target import HorizontalPodAutoscaler
from resilience_operator.simulation.engine import Sample, replay, simulate
from resilience_operator.simulation.workload import Workload, steady_workload
from tests.unit.decision.builders import CPU, HEALTHY, T0, policy, target


def steps(cpu: list[float]) -> Iterator[Sample]:
    for i, value in enumerate(cpu):
        at = T0 + 15 * i
        found = {name: o._replace(at=at) for name, o in HEALTHY.items()} | {"cpu": Observation(at, Measured(value))}
        yield Sample(at, found, target())


def test_replay_says_when_what_would_have_been_done() -> None:
    turns = list(replay(policy(CPU), steps([0.4] * 4 + [0.9] * 12)))
    (acted,) = (t for t in turns if t.outcomes)
    assert acted.at == T0 + 4 * 15 + 120
    assert acted.outcomes[0].result is Result.DRY_RUN
    assert acted.outcomes[0].command.to == 6
    assert not acted.quiet
    assert turns[0].quiet


def test_replay_goes_on_from_a_memory() -> None:
    first = list(replay(policy(CPU), steps([0.4] + [0.9] * 5)))
    assert not any(t.outcomes for t in first)
    later = [replace(s, at=s.at + 90) for s in steps([0.9] * 5)]
    later = [replace(s, observations={n: o._replace(at=s.at) for n, o in s.observations.items()}) for s in later]
    turns = list(replay(policy(CPU), later, first[-1].memory))
    assert [t.at for t in turns if t.outcomes] == [T0 + 15 + 120]


def constant(now: float, workload: Workload) -> tuple[Workload, Mapping[str, Observation]]:
    return workload, {name: found._replace(at=now) for name, found in HEALTHY.items()}


def test_simulate_keeps_the_interval_and_wakes_for_a_timer() -> None:
    def hot(now: float, workload: Workload) -> tuple[Workload, Mapping[str, Observation]]:
        return workload, {"cpu": Observation(now, Measured(0.9))}

    rule = replace(CPU, conditions=(replace(CPU.conditions[0], hold=20.0),))
    turns = [t for _, t in simulate(policy(rule), steady_workload(4, "a", T0), hot, T0, T0 + 60)]
    assert [t.at - T0 for t in turns][:4] == [0, 15, 20, 35]
    assert [t.at - T0 for t in turns if t.outcomes] == [20]


def test_simulate_in_dry_run_leaves_the_workload_alone() -> None:
    def hot(now: float, workload: Workload) -> tuple[Workload, Mapping[str, Observation]]:
        return workload, {"cpu": Observation(now, Measured(0.9))}

    runs = list(simulate(policy(CPU, mode=Mode.DRY_RUN), steady_workload(4, "a", T0), hot, T0, T0 + 200))
    assert {w.replicas for w, _ in runs} == {4}
    assert any(o.result is Result.DRY_RUN for _, t in runs for o in t.outcomes)


def rollout(workload: Workload, now: float, until: float) -> list[tuple[int, int]]:
    """Pods in all and ready pods, every 5 s."""
    found = []
    while now < until:
        workload = workload.advance(now)
        found.append((len(workload.pods), workload.state(now).ready))
        now += 5
    return found


def test_a_rolling_update_keeps_within_its_surge() -> None:
    workload = steady_workload(8, "a", T0).release("b", "kubectl", T0)
    state = workload.state(T0)
    assert (state.revision, state.rolled_out, state.template_by) == ("b", False, "kubectl")
    seen = rollout(workload, T0, T0 + 200)
    assert max(pods for pods, _ in seen) <= 10
    assert min(ready for _, ready in seen) >= 6
    done = workload
    for i in range(40):
        done = done.advance(T0 + 5 * i)
    assert done.state(T0 + 200).rolled_out
    assert {p.revision for p in done.pods} == {"b"}


def test_a_broken_revision_runs_into_its_deadline_and_is_undone() -> None:
    workload = replace(steady_workload(4, "a", T0), broken=frozenset({"b"}), deadline=60.0).release("b", "kubectl", T0)
    for i in range(20):
        workload = workload.advance(T0 + 5 * i)
    state = workload.state(T0 + 100)
    assert state.progress_deadline_exceeded
    assert state.ready >= 3
    assert any(p.ready_at == inf for p in workload.pods)
    back = workload.apply(Command(Verb.ROLLBACK, "r", "m", to="a"), T0 + 100)
    for i in range(20):
        back = back.advance(T0 + 100 + 5 * i)
    assert back.state(T0 + 200).rolled_out
    assert not back.state(T0 + 200).progress_deadline_exceeded


def test_under_a_pause_no_revision_is_made_and_only_the_size_changes() -> None:
    workload = steady_workload(4, "a", T0).pause("kubectl").release("b", "kubectl", T0)
    assert workload.state(T0).revision is None
    grown = workload.scale(6, "kubectl", T0)
    assert [p.revision for p in grown.pods] == ["a"] * 6
    assert len(grown.scale(2, "kubectl", T0).pods) == 2
    assert grown.resume(T0 + 1).state(T0 + 1).revision == "b"


def test_a_paused_workload_is_scaled_from_zero_with_its_newest_revision() -> None:
    # A paused Deployment makes no ReplicaSet, so the controller scales the newest one.
    workload = steady_workload(2, "a", T0).release("b", "kubectl", T0).scale(0, "kubectl", T0).pause("kubectl")
    grown = workload.release("c", "kubectl", T0 + 1).scale(3, "kubectl", T0 + 2)
    assert [p.revision for p in grown.pods] == ["b"] * 3
    state = grown.state(T0 + 40)
    assert (state.revision, state.ready) == (None, 3)


def test_pods_need_their_time() -> None:
    workload = steady_workload(2, "a", T0, startup=30.0).scale(4, "kubectl", T0)
    assert [workload.state(T0 + s).ready for s in (0, 29, 30)] == [2, 2, 4]
    fewer = workload.scale(2, "kubectl", T0 + 10)
    assert fewer.state(T0 + 10).ready == 2, "the youngest go first"


def test_an_hpa_follows_its_minimum() -> None:
    workload = replace(steady_workload(4, "a", T0), hpa=HorizontalPodAutoscaler("h", "1", 3, 10))
    up = workload.apply(Command(Verb.SCALE_UP, "r", "m", to=6, via="HorizontalPodAutoscaler/h"), T0)
    assert up.hpa is not None
    assert (up.replicas, up.hpa.min_replicas, up.hpa.original_min) == (6, 6, 3)
    down = up.apply(Command(Verb.SCALE_DOWN, "r", "m", to=3, via="HorizontalPodAutoscaler/h"), T0)
    assert down.hpa is not None
    assert (down.replicas, down.hpa.min_replicas, down.hpa.original_min) == (6, 3, None)


def test_nothing_to_do_is_the_same_workload() -> None:
    workload = steady_workload(4, "a", T0)
    assert workload.advance(T0 + 100) is workload
    turns = [t for _, t in simulate(policy(CPU), workload, constant, T0, T0 + 300)]
    assert all(t.quiet for t in turns)
    assert turns[-1].decision.phase is Phase.STABLE
