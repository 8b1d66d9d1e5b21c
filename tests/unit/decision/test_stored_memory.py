"""The memory that another version of the operator stored is read in full, and written so that it can read it again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from resilience_operator.decision.model.memory import Memory
from resilience_operator.decision.model.memory_codec import dump_memory, load_memory, stored_name
from tests.unit.decision.stored_memory import every_field, filled, paths

RECORDED = Path(__file__).parents[1] / "fixtures" / "memory-099ff85.json"
"""`status.memory` with every field, as the operator of commit 099ff85 wrote it. Never edit it: add a file instead."""


def recorded() -> Any:
    return json.loads(RECORDED.read_text(encoding="utf-8"))


def test_an_upgrade_forgets_nothing() -> None:
    stored = paths(recorded())
    expected = filled(Memory, lambda path: path in stored)
    assert load_memory(recorded()) == expected


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
