"""The page about the presets is made from their data."""

from __future__ import annotations

from pathlib import Path

from resilience_operator.signals.presets.models import load_families
from resilience_operator.tools.preset_docs import document

PAGE = Path(__file__).parents[3] / "docs" / "presets.md"


def test_the_page_is_in_step() -> None:
    assert PAGE.read_text("utf-8") == document(load_families()), (
        "run: python -m resilience_operator.tools.preset_docs > docs/presets.md"
    )
