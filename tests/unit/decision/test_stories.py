"""Whole stories: a simulated service under the design's sample policy, from the first look to the last.

The service: 100 requests/s a pod at 100% CPU; P99 is 0.2 s, and 1.4 s when CPU is over 90%; errors follow the
revision, and 5% more of the requests fail when CPU is over 100%. Counts are those of the last minute.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import pytest

from resilience_operator.decision.model.commands import Verb
from resilience_operator.decision.model.memory import Memory, Phase
from resilience_operator.decision.model.memory_codec import dump_memory, load_memory
from resilience_operator.decision.model.observation import Measured, Observation
from resilience_operator.decision.model.policy import Mode, Policy, Release, ScaleDown
from resilience_operator.simulation.engine import EvaluationStep, simulate
from resilience_operator.simulation.workload import Workload, steady_workload
from tests.unit.decision.builders import CPU, FAILING, SLOW, T0, policy, ratio

Change = Callable[[float, Workload], Workload]


@dataclass
class Service:
    """errors: error rate by revision. load: requests/s from each second on. events: what people do, from when on.

    gone: from and until when there are no metrics, and why.
    """

    errors: Mapping[str, float] = field(default_factory=dict)
    load: tuple[tuple[float, float], ...] = ((0.0, 200.0),)
    events: tuple[tuple[float, Change], ...] = ()
    gone: tuple[float, float, str] = (0.0, 0.0, "")
    _done: int = 0
    _window: list[tuple[float, dict[str, tuple[float, float]]]] = field(default_factory=list)
    _last: float = T0

    def __call__(self, now: float, workload: Workload) -> tuple[Workload, Mapping[str, Observation]]:
        for at, change in self.events[self._done :]:
            if now - T0 >= at:
                workload = change(now, workload)
                self._done += 1
        rate = [value for at, value in self.load if now - T0 >= at][-1]
        ready = [p for p in workload.pods if p.ready_at <= now]
        cpu = rate / (100.0 * max(1, len(ready)))
        counts = {}
        for name in {p.revision for p in ready}:
            share = sum(p.revision == name for p in ready) / len(ready)
            total = rate * share * max(1.0, now - self._last)
            counts[name] = (total * (self.errors.get(name, 0.001) + 0.05 * (cpu > 1)), total)
        self._window = [w for w in self._window if now - w[0] < 60] + [(now, counts)]
        self._last = now
        begin, end, reason = self.gone
        if begin <= now - T0 < end:
            return workload, {n: Observation.unknown(now, reason, "gone") for n in ("cpu", "latency-p99", "error-rate")}
        split = {}
        for name in counts:
            bad = sum(w[name][0] for _, w in self._window if name in w)
            split[name] = ratio(bad, sum(w[name][1] for _, w in self._window if name in w))
        samples = sum(m.samples or 0 for m in split.values())
        latency = Measured(1.4 if cpu > 0.9 else 0.2, samples)
        observed = {
            "cpu": Observation(now, Measured(min(cpu, 1.5)), by_revision=dict.fromkeys(split, Measured(min(cpu, 1.5))),
                               splittable=True),
            "latency-p99": Observation(now, latency, by_revision=dict.fromkeys(split, latency), splittable=True),
            "error-rate": Observation(now, ratio(sum(m.events or 0 for m in split.values()), samples),
                                      by_revision=split, splittable=True),
        }  # fmt: skip
        return workload, observed


def applies(revision: str, by: str = "kubectl-client-side-apply") -> Change:
    return lambda now, workload: workload.release(revision, by, now)


def scales(replicas: int) -> Change:
    return lambda now, workload: workload.scale(replicas, "kubectl-scale", now)


SAMPLE = policy(CPU, SLOW, FAILING, interval=5.0, release=Release(bake=120.0), scale_down=ScaleDown(after=120.0))


@dataclass
class Story:
    """What happened: (seconds, verb, to), (seconds, reason), and how it ended."""

    turns: list[tuple[Workload, EvaluationStep]]

    @property
    def done(self) -> list[tuple[float, str, int | str | None]]:
        return [(t.at - T0, str(c.verb), c.to) for _, t in self.turns for c in t.decision.commands]

    @property
    def told(self) -> list[tuple[float, str]]:
        return [(t.at - T0, n.reason) for _, t in self.turns for n in t.decision.notices]

    @property
    def end(self) -> Workload:
        return self.turns[-1][0]

    @property
    def memory(self) -> Memory:
        return self.turns[-1][1].memory

    @property
    def phase(self) -> Phase:
        return self.turns[-1][1].decision.phase


def told(service: Service, seconds: float, p: Policy = SAMPLE, replicas: int = 4) -> Story:
    start = steady_workload(replicas, "a", T0, startup=10.0)
    story = Story(list(simulate(p, start, service, T0, T0 + seconds)))
    check(story)
    return story


def check(story: Story) -> None:
    """What holds in every story."""
    for _, turn in story.turns:
        assert load_memory(dump_memory(turn.memory)) == turn.memory
    reasons = [(n.key, n.transient) for _, t in story.turns for n in t.decision.notices]
    assert len(reasons) < 20, "nothing is told over and over"


def verbs_of(story: Story) -> list[str]:
    return [verb for _, verb, _ in story.done]


def test_nothing_happens_and_nothing_is_written() -> None:
    story = told(Service(), 1200)
    assert (story.done, story.told) == ([], [])
    memories = [t.memory for _, t in story.turns]
    assert memories[1:] == memories[:-1], "a status is written for each change of the memory"


def test_load_rises_and_falls() -> None:
    story = told(Service(load=((0, 160.0), (60, 320.0), (400, 160.0))), 1500)
    ups = [d for d in story.done if d[1] == "scaleUp"]
    assert ups == [(180, "scaleUp", 6)], "exactly one: after that CPU is at 53%"
    downs = [d for d in story.done if d[1] == "scaleDown"]
    assert [to for _, _, to in downs] == [3]
    assert all(at >= 400 + 120 for at, _, _ in downs)
    assert story.told == []


def test_half_of_for() -> None:
    story = told(Service(load=((0, 160.0), (60, 320.0), (120, 160.0), (130, 320.0), (200, 160.0))), 600)
    assert [v for v in verbs_of(story) if v == "scaleUp"] == []


def test_slow_requests_alert_and_pre_scale() -> None:
    story = told(Service(load=((0, 160.0), (60, 380.0))), 150)
    assert story.done == [(60, "scaleUp", 6)]
    assert story.told == [(60, "Alert")]


def test_never_above_the_maximum() -> None:
    story = told(Service(load=((0, 160.0), (60, 5000.0))), 1200, replace(SAMPLE, max_replicas=9))
    assert max(w.replicas for w, _ in story.turns) == 9
    assert [r for _, r in story.told if r == "AtMaximum"] == ["AtMaximum"]


def test_a_bad_release_is_paused_and_rolled_back() -> None:
    story = told(Service(errors={"b": 0.2}, events=((60, applies("b")),)), 600)
    (paused, pause, _), (rolled, rollback, to) = story.done[:2]
    assert (pause, rollback, to) == ("pauseRollout", "rollback", "a")
    assert paused - 60 <= 10 + 10, "ten seconds until its first pod is ready, and two intervals"
    assert rolled - paused == 30
    assert len(story.done) == 2
    assert story.phase is Phase.STABLE
    assert {p.revision for p in story.end.pods} == {"a"}
    assert [q.revision for q in story.memory.quarantined] == ["b"]


def test_the_same_in_dry_run_changes_nothing() -> None:
    story = told(Service(errors={"b": 0.2}, events=((60, applies("b")),)), 600, replace(SAMPLE, mode=Mode.DRY_RUN))
    assert verbs_of(story) == ["pauseRollout", "rollback"]
    assert {p.revision for p in story.end.pods} == {"b"}
    assert not any(w.paused for w, _ in story.turns)


def test_a_good_release_becomes_the_last_good_one() -> None:
    story = told(Service(events=((60, applies("b")),)), 600)
    assert story.done == []
    assert [r for _, r in story.told] == ["ReleaseGood"]
    assert story.memory.release is not None
    assert story.memory.release.good == "b"


@pytest.mark.parametrize("reason", ["NoData", "NotANumber", "SourceUnreachable", "SourceTimedOut"])
def test_the_metrics_are_gone_during_a_good_release(reason: str) -> None:
    story = told(Service(events=((60, applies("b")),), gone=(65, 1200, reason)), 1200)
    assert story.done == [], "no rollback, no scaling"
    assert story.memory.release is not None
    assert (story.phase, story.memory.release.good) == (Phase.BAKING, "a"), "and no unmeasured promotion"
    assert [r for _, r in story.told] == ["ReleaseNotJudged", "BakeUnmeasured"], "each told"


@pytest.mark.parametrize("at", [60, 76, 90, 95, 105, 112])
def test_the_operator_is_killed_and_started_again(at: float) -> None:
    service = Service(errors={"b": 0.2}, events=((60, applies("b")),))
    start = steady_workload(4, "a", T0, startup=10.0)
    first = Story(list(simulate(SAMPLE, start, service, T0, T0 + at)))
    workload, last = first.turns[-1]
    for command in last.decision.commands:
        workload = workload.apply(command, last.at)
    stored = load_memory(dump_memory(last.memory))
    again = Story(list(simulate(SAMPLE, workload, service, T0 + at + 7, T0 + 600, stored)))
    assert verbs_of(first) + verbs_of(again) == ["pauseRollout", "rollback"], "no second pause, no second rollback"
    assert again.phase is Phase.STABLE


def test_a_spike_during_a_good_release_is_scaled_and_not_rolled_back() -> None:
    load = ((0, 200.0), (70, 600.0), (400, 200.0))
    story = told(Service(load=load, events=((60, applies("b")),)), 900)
    assert "rollback" not in verbs_of(story), "both revisions fail: pausing is cheap, but nothing is proven"
    assert "scaleUp" in verbs_of(story)


def test_a_bad_release_under_a_spike_is_rolled_back() -> None:
    load = ((0, 200.0), (50, 500.0), (400, 200.0))
    story = told(Service(load=load, errors={"b": 0.3}, events=((60, applies("b")),)), 900)
    assert verbs_of(story).count("rollback") == 1
    assert {p.revision for p in story.end.pods} == {"a"}


def test_a_bad_release_with_three_requests_in_all_is_kept_and_told() -> None:
    story = told(Service(load=((0, 0.02),), errors={"b": 0.2}, events=((60, applies("b")),)), 900)
    assert [verb for _, verb, _ in story.done] == ["scaleDown"], "nearly no load, and all pods run one revision"
    assert "ReleaseNotJudged" in [r for _, r in story.told]
    assert story.phase is Phase.BAKING


def test_a_pipeline_that_keeps_applying_the_bad_version() -> None:
    argo = applies("b", "argocd-controller")
    service = Service(errors={"b": 0.2}, events=tuple((at, argo) for at in (60, 300, 500, 700)))
    story = told(service, 900)
    assert verbs_of(story) == ["pauseRollout", "rollback", "rollback", "pauseRollout"]
    held = [n for _, t in story.turns for n in t.decision.notices if n.reason == "HeldPaused"]
    assert len(held) == 1
    assert "Argo CD" in held[0].message
    assert (story.phase, story.end.paused) == (Phase.PAUSED, True)


def test_a_fixed_version_after_a_held_one_goes_through() -> None:
    argo, fix = applies("b", "argocd-controller"), applies("c", "argocd-controller")
    service = Service(errors={"b": 0.2}, events=((60, argo), (300, argo), (500, argo), (700, fix)))
    story = told(service, 1200)
    assert verbs_of(story)[-1] == "resumeRollout"
    assert story.memory.release is not None
    assert (story.phase, story.memory.release.good) == (Phase.STABLE, "c")


def test_a_person_scales_and_is_not_fought() -> None:
    story = told(Service(events=((60, scales(8)),)), 1200)
    assert story.done == []
    assert [r for _, r in story.told] == ["ManualScale"]


def test_a_release_that_makes_no_progress() -> None:
    p = replace(SAMPLE, release=Release(bake=120.0, fail_on_progress_deadline=True))
    start = replace(steady_workload(4, "a", T0, startup=10.0), broken=frozenset({"b"}), deadline=60.0)
    story = Story(list(simulate(p, start, Service(events=((60, applies("b")),)), T0, T0 + 600)))
    check(story)
    # Its pods are late at half of the deadline, and that counts before the deadline itself.
    assert [(at, verb) for at, verb, _ in story.done] == [(90, "pauseRollout"), (150, "rollback")]
    assert story.phase is Phase.STABLE


def test_no_step_down_while_the_look_back_fills_after_an_outage() -> None:
    load = ((0, 160.0), (60, 320.0), (400, 160.0))
    story = told(Service(load=load, gone=(420, 600, "NoData")), 1500)
    downs = [at for at, verb, _ in story.done if verb == Verb.SCALE_DOWN]
    assert downs
    assert downs[0] >= 600 + 120
