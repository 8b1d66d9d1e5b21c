"""Memory through JSON and back."""

import json
from typing import Any

import pytest

from resilience_operator.decision.model.commands import Command, Verb
from resilience_operator.decision.model.memory import (
    DryRunOverlay,
    Intent,
    Memory,
    Phase,
    Quarantine,
    ReleaseMemory,
    RuleMemory,
    ScalingMemory,
    Timer,
    Verdict,
)
from resilience_operator.decision.model.memory_codec import UnreadableMemory, dump_memory, load_memory

FULL = Memory(
    target_uid="uid-1",
    rules={
        "cpu-saturation": RuleMemory(
            (Timer(), Timer(Verdict.PENDING, 12.25, 10.5, 12.25)), breach=11.0, scaled=9.0, signature="cpu>0.7"
        ),
        "failing_release": RuleMemory(release_timers=(Timer(Verdict.BREACH, 1.0, 1.0),), release_breach_since=1.0),
        "quiet": RuleMemory(),
    },
    scaling=ScalingMemory(baseline=3, last_replicas=5, manual_floor=4, stable_since=100.0),
    release=ReleaseMemory(
        Phase.PAUSED,
        50.0,
        "bad",
        good="fine",
        ok_before=("a", "b"),
        paused=50.0,
        paused_rules=("failing_release",),
        manual_override=True,
    ),
    quarantined=(
        Quarantine("bad", 40.0, ("failing_release",), "20%"),
        Quarantine("worse", 41.0, ("r",), "m", rollbacks=3),
    ),
    overlay=DryRunOverlay(replicas=7, real_replicas=5, paused=True, real_revision="bad"),
    intent=Intent(
        60.0,
        (
            Command(Verb.SCALE_UP, "RuleBreached", "5 → 7", ("cpu-saturation",), from_=5, to=7),
            Command(Verb.ROLLBACK, "ReleaseFailing", "back", ("failing_release",), from_="12", to="e5"),
            Command(Verb.PLUGIN, "RuleBreached", "page", arguments={"the_team": ["shop", None, 1.5]}),
        ),
        trace_id="abc",
    ),
    announced=frozenset({"b", "a", "c"}),
    metrics_missing_since=77.0,
)


@pytest.mark.parametrize("memory", [Memory(), FULL])
def test_comes_back_as_it_was(memory: Memory) -> None:
    assert load_memory(json.loads(json.dumps(dump_memory(memory)))) == memory


def test_whole_seconds_come_back_as_integers_from_the_api_server() -> None:
    """Go writes 60.0 as 60."""
    dumped = dump_memory(FULL)
    dumped["intent"]["at"] = 60
    loaded = load_memory(dumped)
    assert loaded == FULL
    assert isinstance(loaded.intent, Intent)
    assert isinstance(loaded.intent.at, float)


def test_leaves_defaults_out_and_names_keys_as_kubernetes_does() -> None:
    assert dump_memory(Memory()) == {}
    dumped = dump_memory(FULL)
    assert dumped["rules"]["quiet"] == {}
    assert dumped["release"]["pausedRule"] == "failing_release"
    assert dumped["intent"]["commands"][0]["from"] == 5
    assert "rollbacks" not in dumped["quarantined"][0]


def test_leaves_names_that_people_chose_alone() -> None:
    dumped = dump_memory(FULL)
    assert "failing_release" in dumped["rules"]
    assert dumped["intent"]["commands"][2]["arguments"] == {"the_team": ["shop", None, 1.5]}


def test_a_revision_made_of_digits_stays_a_name() -> None:
    loaded = load_memory(dump_memory(FULL))
    assert loaded.intent is not None
    assert (loaded.intent.commands[1].from_, loaded.intent.commands[1].to) == ("12", "e5")


def test_told_is_sorted_so_that_equal_memories_are_written_equally() -> None:
    assert dump_memory(FULL)["told"] == ["a", "b", "c"]


def test_ignores_keys_it_does_not_know() -> None:
    dumped = dump_memory(FULL)
    dumped["fromTheFuture"] = {"x": 1}
    dumped["release"]["alsoNew"] = True
    dumped["rules"]["quiet"]["new"] = [1]
    assert load_memory(dumped) == FULL


@pytest.mark.parametrize(
    ("dumped", "place"),
    [
        (None, "NoneType"),
        ([], "list"),
        ("{}", "str"),
        ({"rules": 3}, "rules"),
        ({"rules": {"r": {"timers": [{"verdict": "Perhaps"}]}}}, "rules.r.timers.0.verdict"),
        ({"release": {"phase": "Stable"}}, "release.since"),
        ({"release": {"phase": "Elsewhere", "since": 1, "revision": None}}, "release.phase"),
        ({"scaling": {"baseline": "three"}}, "scaling.baseline"),
        ({"metricsGone": float("nan")}, "metricsGone"),
        ({"intent": {"at": 1, "commands": [{"verb": "explode", "reason": "", "message": ""}]}}, "commands.0.verb"),
    ],
)
def test_what_cannot_be_read_is_told(dumped: Any, place: str) -> None:
    with pytest.raises(UnreadableMemory, match=place):
        load_memory(dumped)
