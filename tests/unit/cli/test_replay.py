"""Replays: recordings, ranges, the target's past, and decisions on them."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from resilience_operator.api.status import DecisionStatus
from resilience_operator.cli.common.console import UsageError
from resilience_operator.cli.common.policy_loader import load_policy
from resilience_operator.cli.common.time_args import age, parse_moment, parse_span
from resilience_operator.cli.kubectl import app
from resilience_operator.cli.replay.archive import Archive
from resilience_operator.cli.replay.change_attribution import NO_DECISIONS, RecordedDecisions
from resilience_operator.cli.replay.range_client import RangeSource
from resilience_operator.cli.replay.recording import Recording, Track, Tracks
from resilience_operator.cli.replay.run import replay_policy
from resilience_operator.cli.replay.target_history import Subject, TargetHistory, reconstruct
from resilience_operator.cli.replay.time_grid import Grid, step_for
from resilience_operator.cli.report.model import Kind, RunReport
from resilience_operator.decision.model.commands import Verb
from resilience_operator.resilience import CallError, Deadline
from resilience_operator.signals.prometheus.config import SourceConfig
from tests.bench.replay_speed import server
from tests.unit.cli.support import START, Over, constant, policy, recording

OLD, NEW = "7d9f5c8b6d", "5c6b7d8f9b"
HOUR = Grid(START, 15.0, 240)


def replayed(known: Recording, **options: bool) -> RunReport:
    entry, compiled = load_policy(known.policy)
    return asyncio.run(replay_policy(entry, compiled, Archive(known), **options))


def told(story: RunReport, *kinds: Kind) -> list[tuple[float, str]]:
    return [(h.at - story.start, h.action) for h in story.events if h.kind in (kinds or (Kind.DECISION,))]


# Grids and files


@pytest.mark.parametrize(
    ("since", "until", "step", "expected"),
    [
        (START, START + 60, 15.0, Grid(START, 15.0, 5)),
        (START + 1, START + 59, 15.0, Grid(START + 15, 15.0, 3)),
        (START + 0.2, START + 10, 7.5, Grid(START + 1, 7.5, 2)),
        (START, START - 60, 15.0, Grid(START, 15.0, 0)),
    ],
)
def test_grids_lie_on_multiples_of_their_step(since: float, until: float, step: float, expected: Grid) -> None:
    assert Grid.covering(since, until, step) == expected


@pytest.mark.parametrize(
    ("interval", "seconds", "step"),
    [
        (15.0, 86400, 5.0),
        (15.0, 604800, 15.0),
        (5.0, 3600, 1.0),
        (10.0, 3600, 2.0),
        (60.0, 604800, 30.0),
        (7.5, 60, 7.5),
    ],
)
def test_a_short_time_is_recorded_finer(interval: float, seconds: float, step: float) -> None:
    assert step_for(interval, seconds) == step


def test_pieces_are_as_large_as_prometheus_answers() -> None:
    week = Grid(START, 15.0, 40_320)
    pieces = list(week.pieces(week.whole))
    assert pieces == [(0, 11_000), (11_000, 22_000), (22_000, 33_000), (33_000, 40_320)]


@pytest.mark.parametrize("name", ["week.json", "week.json.gz"])
def test_a_recording_is_read_as_it_was_written(tmp_path: Path, name: str) -> None:
    known = Recording(
        Grid(START, 15.0, 4), policy(), {"up": (Track({"pod": "a"}, [1.5, None, math.inf, 0.1 + 0.2]),), "down": ()}
    )
    known.save(tmp_path / name)
    assert Recording.load(tmp_path / name) == known


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("[", "is not a recording"),
        ("{}", "is not a recording of this version"),
        ('{"format": "resilience-operator.io/recording/v1"}', "is damaged"),
    ],
)
def test_what_is_no_recording_is_told(tmp_path: Path, content: str, why: str) -> None:
    path = tmp_path / "x.json"
    path.write_text(content)
    with pytest.raises(UsageError, match=why):
        Recording.load(path)


# Ranges


@contextmanager
def source(known: Recording) -> Iterator[RangeSource]:
    with server(known) as url:
        yield RangeSource(SourceConfig(name="default", url=url))


def test_ranges_are_put_together_from_pieces() -> None:
    grid = Grid(START, 15.0, 25_000)
    track = Track({"pod": "a"}, [None if n % 1000 < 10 else n + 0.1 for n in range(grid.count)])
    late = Track({"pod": "b"}, [None] * 24_000 + [1.0] * 1000)
    known = Recording(grid, {}, {"q": (track, late)})
    with source(known) as ranges:
        found = asyncio.run(ranges.query("q", grid, grid.whole, Deadline.after(60)))
        part = asyncio.run(ranges.query("q", grid, (24_990, 24_992), Deadline.after(60)))
    assert found == (track, late)
    assert part[0].values[24_989:24_993] == [None, 24_990.1, 24_991.1, None]


def test_a_server_that_is_not_there_is_told() -> None:
    ranges = RangeSource(SourceConfig(name="default", url="http://127.0.0.1:1"))
    grid = Grid(START, 15.0, 3)
    with pytest.raises(CallError) as caught:
        asyncio.run(ranges.query("q", grid, grid.whole, Deadline.after(0.5)))
    assert caught.value.dependency == "prometheus/default"


# The past


def past(
    pods: Mapping[str, list[float | None]],
    replicas: list[float | None] | None = None,
    *,
    sets: bool = True,
    paused: list[float | None] | None = None,
    journal: RecordedDecisions = NO_DECISIONS,
    step: float = 60.0,
) -> TargetHistory:
    count = len(next(iter(pods.values()), replicas or []))
    tracks: dict[str, Tracks] = dict.fromkeys(("created", "hpa min", "hpa max", "ready"), ())
    tracks["replicas"] = (Track({}, replicas),) if replicas else ()
    tracks["paused"] = (Track({}, paused),) if paused else ()
    tracks["pods"] = tracks["ready pods"] = tuple(Track({"owner": f"checkout-{r}"}, v) for r, v in pods.items())
    tracks["sets"] = tuple(
        Track({"replicaset": f"checkout-{r}"}, [None if x is None else 1.0 for x in v]) for r, v in pods.items() if sets
    )
    return reconstruct(tracks, Grid(START, step, count), Subject("shop", "checkout", 3, 86400.0, journal))


@pytest.mark.parametrize(
    ("pods", "replicas", "revisions", "complete"),
    [
        ({OLD: [3, 3, 3]}, [3, 3, 3], [OLD, OLD, OLD], [True, True, True]),
        (
            {OLD: [3, 3, 2, None, None], NEW: [None, 1, 2, 3, 3]},
            [3, 3, 3, 3, 3],
            [OLD, NEW, NEW, NEW, NEW],
            [True, False, False, True, True],
        ),
        # Rolled back before it was through: the old one grows again.
        (
            {OLD: [3, 2, 3, 3], NEW: [None, 2, 1, None]},
            [3, 3, 3, 3],
            [OLD, NEW, OLD, OLD],
            [True, False, False, True],
        ),
        # A scale-up under way is no release.
        ({OLD: [3, 3, 5]}, [3, 5, 5], [OLD, OLD, OLD], [True, False, True]),
        # Gaps are bridged.
        ({OLD: [3, None, 3]}, [3, None, 3], [OLD, OLD, OLD], [True, True, True]),
    ],
    ids=["steady", "a release", "a rollback", "a scale-up", "a gap"],
)
def test_releases_are_seen(
    pods: dict[str, list[float | None]],
    replicas: list[float | None],
    revisions: list[str],
    complete: list[bool],
) -> None:
    found = past(pods, replicas)
    assert [s.revision for s in found.states] == revisions
    assert [s.rolled_out for s in found.states] == complete


def test_what_was_there_first_is_old_and_what_came_later_is_not() -> None:
    found = past({OLD: [3, 3, None], NEW: [None, 1, 3]}, [3, 3, 3])
    created = {r.name: r.created for r in found.states[-1].revisions}
    assert created == {OLD: START - 86400, NEW: START + 60}


def test_pods_of_others_are_left_out() -> None:
    found = past({OLD: [3, 3], "db": [1, 1], f"api-{NEW}": [2, 2]}, [3, 3], sets=False)
    assert found.all_owners == {f"checkout-{OLD}": OLD}


def test_a_target_lives_from_its_first_sample_to_its_last() -> None:
    found = past({OLD: [None, None, 3, 3, *[None] * 8]}, [None, None, 3, 3, *[None] * 8])
    assert (found.first, found.end) == (2, 4)


def test_without_kube_state_metrics_replicas_are_assumed_and_it_is_told() -> None:
    found = past({}, [None, None])
    assert found.states[0].replicas == 3
    assert "3 replicas are assumed" in found.notes[0]
    assert found.states[0].revision == "unrecorded"


def decision(action: str, after: float, **fields: Any) -> DecisionStatus:
    return DecisionStatus(at=datetime.fromtimestamp(START + after, UTC), action=action, reason="RuleBreached", **fields)


@pytest.mark.parametrize(
    ("journal", "by"),
    [
        ((), ""),
        ((decision("scaleUp", 50, to="5"),), "resilience-operator"),
        ((decision("scaleUp", 50, to="7"),), ""),
        ((decision("scaleUp", -900, to="5"),), ""),
        ((decision("scaleUp", 50, to="5", dry_run=True),), ""),
    ],
)
def test_the_history_tells_whose_doing_a_change_was(journal: tuple[DecisionStatus, ...], by: str) -> None:
    _, compiled = load_policy(policy())
    found = past({OLD: [3, 5, 5]}, [3, 5, 5], journal=RecordedDecisions.of(compiled, journal))
    assert found.states[-1].scaled_by == by


def test_what_a_full_history_no_longer_tells_counts_as_the_operators_own() -> None:
    _, compiled = load_policy(policy())
    history = [decision("scaleUp", 600 - n, to="9") for n in range(20)]
    whose = RecordedDecisions.of(compiled, history).field_manager
    assert whose(START + 60, (Verb.SCALE_UP,), "5") == "resilience-operator"
    assert RecordedDecisions.of(compiled, history[1:]).field_manager(START + 60, (Verb.SCALE_UP,), "5") == ""


# Whole replays


def test_cpu_over_its_threshold_is_answered_once_and_given_back() -> None:
    def cpu(at: float) -> float:
        return 0.8 if 600 <= at < 1500 else 0.5

    story = replayed(recording(policy(), HOUR, pods={OLD: constant(3.0)}, cpu=cpu))
    assert told(story)[0] == (720, "scaleUp")
    assert [action for _, action in told(story)].count("scaleUp") == 1
    assert story.notes == ("cpu: adjusted to the number of pods that the policy would have had",)
    assert "cpu is 80% (above 70% for 2m): 3 → 5 pods" in story.decisions[0].message
    assert [action for _, action in told(story)][-2:] == ["scaleUp", "scaleDown"]
    assert {look.replicas for look in story.samples} == {3}


def test_as_recorded_the_past_does_not_react() -> None:
    known = recording(policy(), HOUR, pods={OLD: constant(4.0)}, cpu=constant(0.8))
    assert max(look.wanted for look in replayed(known, react=False).samples) == 20
    assert max(look.wanted for look in replayed(known).samples) == 6


def test_what_the_operator_did_itself_is_no_answer_to_the_policy() -> None:
    def pods(at: float) -> float:
        return 5.0 if at >= 720 else 3.0

    def cpu(at: float) -> float:
        return (0.8 if at >= 600 else 0.5) * 3 / pods(at)

    known = recording(policy(), HOUR, pods={OLD: pods}, cpu=cpu)
    nobody = replayed(known)
    assert [h.action for h in nobody.events if h.kind is Kind.NOTICE] == ["ManualScale"]
    assert told(nobody) == []
    known.policy["status"] = {"history": [decision("scaleUp", 715, to="5").model_dump(mode="json", exclude_none=True)]}
    story = replayed(known)
    # What is more than the load needs is given back later.
    assert [action for _, action in told(story)] == ["scaleUp", "scaleDown"]
    assert told(story)[0] == (720, "scaleUp")
    assert "cpu is 80% (above 70% for 2m): 3 → 5 pods" in story.decisions[0].message
    known.policy["spec"]["rules"][0]["when"]["above"] = "90%"
    assert told(replayed(known)) == []


def rollout(at: float) -> tuple[Over, Over]:
    """Pods of the old and of the new revision; one a minute from `at` on."""

    def new(time: float) -> float | None:
        return None if time < at else min(4.0, 1 + (time - at) // 60)

    return lambda time: 4.0 - (new(time) or 0.0), new


def test_a_bad_release_is_paused_and_rolled_back() -> None:
    old, new = rollout(1200)
    story = replayed(recording(policy(), HOUR, pods={OLD: old, NEW: new}, errors={NEW: 0.05}))
    assert [action for _, action in told(story)] == ["pauseRollout", "rollback"]
    first, second = (at for at, _ in told(story))
    assert 1200 <= first <= 1260
    assert second == first + 30
    assert story.decisions[1].from_ == NEW
    assert story.decisions[1].to == OLD
    assert told(story, Kind.EVENT)[0] == (1200, "release")


def test_a_rollback_that_really_happened_is_found_again() -> None:
    """The bad pods were gone before the replay, which looks at other moments, was as far."""

    def new(at: float) -> float | None:
        return None if at < 1200 else 1.0 if at < 1245 else 0.0

    known = recording(
        policy(), HOUR, pods={OLD: lambda at: 4.0 - (new(at) or 0.0), NEW: new}, errors={NEW: 0.05},
        paused=lambda at: float(1215 <= at < 1245),
    )  # fmt: skip
    done = [decision("rollback", 1240, from_=NEW, to=OLD), decision("pauseRollout", 1210, from_=NEW, to=NEW)]
    known.policy["status"] = {"history": [d.model_dump(mode="json", exclude_none=True) for d in done]}
    story = replayed(known)
    assert [action for _, action in told(story)] == ["pauseRollout", "rollback"]
    assert (story.decisions[1].from_, story.decisions[1].to) == (NEW, OLD)


def test_nothing_is_done_on_what_was_not_measured() -> None:
    known = recording(policy(), HOUR, pods={OLD: constant(4.0)}, measured=lambda at: not 600 <= at < 1800)
    story = replayed(known)
    assert told(story) == []
    assert sum("Unknown" in look.verdicts for look in story.samples) == 80


def test_a_finer_recording_is_looked_at_as_often_as_the_policy_says() -> None:
    story = replayed(recording(policy(interval="30s"), HOUR, pods={OLD: constant(4.0)}))
    assert len(story.samples) == 120
    story = replayed(recording(policy(interval="20s"), HOUR, pods={OLD: constant(4.0)}))
    assert "the recording has a step of 15s, which does not divide the interval of 20s" in story.notes[0]


def test_a_change_of_the_target_is_looked_at_at_once() -> None:
    known = recording(policy(interval="60s"), HOUR, pods={OLD: lambda at: 3.0 if at < 75 else 4.0})
    story = replayed(known)
    assert [look.at - START for look in story.samples[:4]] == [0, 60, 75, 120]


def test_a_recording_does_not_answer_what_was_not_asked() -> None:
    known = recording(policy(), HOUR, pods={OLD: constant(4.0)})
    known.policy = policy(signals=[{"name": "cpu", "preset": "cpu", "window": "5m"}])
    with pytest.raises(UsageError, match="export it again"):
        replayed(known)


def test_from_server_and_from_file_it_is_the_same(tmp_path: Path) -> None:
    old, new = rollout(1200)
    known = recording(policy(), HOUR, pods={OLD: old, NEW: new}, errors={NEW: 0.05})
    file, export = tmp_path / "policy.yaml", tmp_path / "hour.json.gz"
    file.write_text(yaml.safe_dump(known.policy))
    runner = CliRunner()
    times = ["--since", "2026-01-01T00:00:00Z", "--until", "2026-01-01T00:59:59Z"]
    with server(known) as url:
        asked = runner.invoke(
            app,
            ["replay", "-f", str(file), *times, "--prometheus-url", url, "--export", str(export), "-o", "json"],
        )
    assert asked.exit_code == 0, asked.stderr
    again = runner.invoke(app, ["replay", "--from", str(export), "-o", "json"])
    assert again.exit_code == 0, again.stderr
    assert json.loads(again.stdout) == json.loads(asked.stdout)
    assert [d["action"] for d in json.loads(asked.stdout)["decisions"]] == ["pauseRollout", "rollback"]
    stricter = policy(
        rules=[{"name": "any", "when": {"signal": "error-rate", "above": "10%"}, "then": [{"alert": {}}]}]
    )
    file.write_text(yaml.safe_dump(stricter))
    other = runner.invoke(app, ["replay", "-f", str(file), "--from", str(export)])
    assert other.exit_code == 0, other.stderr
    assert "no actions" in other.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ([], 2, "no policy given"),
        (["x", "-f", "y"], 2, "not both"),
        (["-f", "none.yaml"], 2, "cannot read none.yaml"),
        (["--from", "none.json"], 2, "cannot read none.json"),
        (["-f", "{policy}", "--since", "soon"], 2, "'soon' is not a valid duration"),
        (["-f", "{policy}", "--since", "yesterday-ish"], 2, "is not a valid time: use a duration"),
        (["-f", "{policy}"], 2, "metric source default is not configured"),
        (["-f", "{policy}", "--prometheus-url", "ftp://x"], 2, "must be an http:// or https:// address"),
        (["-f", "{policy}", "--prometheus-url", "http://x", "--until", "30h"], 2, "--since must be before --until"),
        (["-f", "{policy}", "--prometheus-url", "http://127.0.0.1:1", "--since", "5m"], 1, "prometheus/default"),
    ],
)
def test_what_is_wrong_is_told_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], code: int, message: str
) -> None:
    monkeypatch.delenv("RESILIENCE_PROMETHEUS_URL", raising=False)
    file = tmp_path / "policy.yaml"
    file.write_text(yaml.safe_dump(policy()))
    result = CliRunner().invoke(app, ["replay", *(a.format(policy=file) for a in arguments)])
    assert result.exit_code == code
    assert message in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("text", "seconds"), [("24h", 86400), ("7d", 604800), ("1d12h", 129600), ("90m", 5400), ("30s", 30)]
)
def test_spans(text: str, seconds: float) -> None:
    assert parse_span(text) == seconds
    assert parse_moment(text, START) == START - seconds


@pytest.mark.parametrize(
    "text", ["2026-01-01T00:00:00Z", "2026-01-01T02:00:00+02:00", "2026-01-01", "2026-01-01T00:00"]
)
def test_moments(text: str) -> None:
    assert parse_moment(text, 0.0) == START


@pytest.mark.parametrize(
    ("seconds", "text"), [(-3, "0s"), (42, "42s"), (200, "3m20s"), (5000, "83m"), (10000, "3h"), (400000, "5d")]
)
def test_ages(seconds: float, text: str) -> None:
    assert age(seconds) == text
