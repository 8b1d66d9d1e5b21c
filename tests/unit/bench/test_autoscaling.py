"""The comparison of controllers runs from its command line, and each figure is against its reference."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.bench.autoscaling.__main__ import AT_PODS, FOUNDING, MAKERS, PROPOSED, REFERENCE, main


def test_the_controllers_that_bars_name_are_compared() -> None:
    assert {REFERENCE, PROPOSED, FOUNDING, AT_PODS} <= set(MAKERS)


def test_a_folder_of_traces_is_compared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "steps.csv").write_text("".join(f"{60 * n},{300 + 100 * (n % 3)}\n" for n in range(30)))
    assert main(["--data", str(tmp_path), "--only", "HPA 5", "--seeds", "1", "--workers", "1"]) == 0
    rows = [line.split("  ")[0] for line in capsys.readouterr().out.splitlines()]
    assert "HPA 50%" in rows
    assert REFERENCE in rows
