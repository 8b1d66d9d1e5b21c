"""The memory that another version of the operator stored is read in full, and written so that it can read it again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter

from resilience_operator.decision.model.memory import Memory
from resilience_operator.decision.model.memory_codec import dump_memory, load_memory, stored_name
from tests.unit.decision.stored_memory import every_field, filled, paths

RECORDED = Path(__file__).parents[1] / "fixtures" / "memory-099ff85.json"
"""`status.memory` with every field, as the operator of commit 099ff85 wrote it. Never edit it: add a file instead."""


RENAMED = {
    "rules.a_name.release_timers": "rules.a_name.blame",
    "rules.a_name.release_breach_since": "rules.a_name.guilty",
    "rules.a_name.signature": "rules.a_name.of",
    "rules.a_name.base_replicas": "rules.a_name.base",
    "rules.a_name.called_in_dry_run": "rules.a_name.rehearsed",
    "scaling.last_replicas": "scaling.seen",
    "scaling.manual_floor": "scaling.held",
    "scaling.stable_since": "scaling.calm",
    "scaling.required_at_scale_up": "scaling.need",
    "release.bake_started": "release.ready",
    "release.baseline": "release.before",
    "release.canary_measured_since": "release.began",
    "release.shared_breaches": "release.shared",
    "release.paused_rules": "release.pausedRule",
    "release.manual_override": "release.handsOff",
    "release.rollback_limit_reached": "release.held",
    "quarantined.0.rules": "quarantined.0.rule",
    "quarantined.0.dry_run": "quarantined.0.rehearsed",
    "overlay.real_revision": "shadow.realRevision",
    "announced": "told",
    "metrics_missing_since": "metricsGone",
}
"""Where a value is in the memory, and where it was always stored."""


def recorded() -> Any:
    return json.loads(RECORDED.read_text(encoding="utf-8"))


def test_an_upgrade_forgets_nothing() -> None:
    assert load_memory(recorded()) == filled(Memory, paths(recorded()))


def test_a_rollback_of_the_operator_reads_what_this_version_wrote() -> None:
    assert dump_memory(load_memory(recorded())) == recorded()


def test_every_field_of_today_survives_a_restart() -> None:
    memory = filled(Memory)
    assert load_memory(json.loads(json.dumps(dump_memory(memory)))) == memory


def test_every_field_of_today_has_a_key_of_its_own() -> None:
    keys: dict[tuple[str, str], str] = {}
    for name, entry in every_field(Memory).items():
        owner = name.partition(".")[0]
        assert keys.setdefault((owner, stored_name(entry)), name) == name


@pytest.mark.parametrize(("place", "stored"), RENAMED.items())
def test_a_renamed_field_has_the_value_that_was_stored(place: str, stored: str) -> None:
    value: Any = load_memory(recorded())
    for name in place.split("."):
        if isinstance(value, dict | tuple):
            value = value[int(name) if isinstance(value, tuple) else name]
        else:
            value = getattr(value, name)
    document: Any = recorded()
    for name in stored.split("."):
        document = document[int(name)] if isinstance(document, list) else document[name]
    assert as_json(value) == (document.split(", ") if name in ("rule", "pausedRule") else document)


def as_json(value: Any) -> Any:
    return TypeAdapter(type(value)).dump_python(value, mode="json", exclude_defaults=True, by_alias=True)
