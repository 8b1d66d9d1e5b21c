"""The cases of docs/decisions.md as scenarios (tests/scenarios). `SCENARIO_SEEDS=20` runs each with more seeds."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from resilience_operator.cli.scenario.reader import read_scenario
from resilience_operator.cli.test.suite import find_scenarios, run_scenario

CASES = Path(__file__).resolve().parents[2] / "scenarios"
SEEDS = int(os.environ.get("SCENARIO_SEEDS", "1"))


@pytest.mark.parametrize("file", find_scenarios([str(CASES)]), ids=lambda file: Path(file).stem)
def test_case(file: str) -> None:
    scenario = read_scenario(file)
    assert scenario.scenario.expect, "a case expects something"
    result = run_scenario(scenario, SEEDS, lambda: None)
    unmet = [f"{r.expectation}: {r.passed}/{r.runs}; seed {r.seed}: {r.seen}" for r in result.results if not r.met]
    assert not unmet, "\n".join(unmet)
