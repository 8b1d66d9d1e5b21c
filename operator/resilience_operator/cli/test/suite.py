"""Runs scenario files, each with several seeds, and sums up their expectations."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import ceil
from pathlib import Path

from resilience_operator.cli.common.console import UsageError
from resilience_operator.cli.common.documents import documents
from resilience_operator.cli.scenario.check import check
from resilience_operator.cli.scenario.description import describe
from resilience_operator.cli.scenario.reader import ScenarioFile, read_scenario
from resilience_operator.cli.scenario.run import run

SUFFIXES = (".yaml", ".yml")


@dataclass(frozen=True, slots=True)
class Result:
    """One expectation over all seeds. passed: in how many it was met. required: in how many it must be.

    seen: what happened in the first seed in which it was not met, or in the first one. seed: that seed.
    unmet: the seeds in which it was not met.
    """

    expectation: str
    passed: int
    runs: int
    required: int
    seen: str
    seed: int
    unmet: tuple[int, ...]

    @property
    def met(self) -> bool:
        """Whether it was met in enough seeds."""
        return self.passed >= self.required


@dataclass(frozen=True, slots=True)
class FileResult:
    """One scenario. seconds: how long all its runs took."""

    file: str
    description: str
    results: tuple[Result, ...]
    seconds: float

    @property
    def met(self) -> bool:
        """Whether all expectations were met."""
        return all(result.met for result in self.results)


def find_scenarios(paths: Sequence[str]) -> list[str]:
    """The scenario files among `paths`, and those below its folders, sorted. Raises UsageError if there is none.

    Within a folder, files of Kubernetes objects are skipped: they are policies that scenarios refer to.
    """
    found: list[str] = []
    for path in paths:
        if Path(path).is_dir():
            below = sorted(p for p in Path(path).rglob("*") if p.suffix in SUFFIXES and p.is_file())
            found += (str(p) for p in below if not _holds_objects(str(p)))
        else:
            found.append(path)
    if not found:
        raise UsageError(f"no scenario files in {', '.join(paths)}: they end in {' or '.join(SUFFIXES)}")
    return list(dict.fromkeys(found))


def _holds_objects(file: str) -> bool:
    contents = [d.content for d in documents(file)]
    return bool(contents) and all(isinstance(c, dict) and "apiVersion" in c and "kind" in c for c in contents)


def read_scenarios(files: Sequence[str], policy: str | None) -> list[ScenarioFile]:
    """Read all files before the first one runs. Raises UsageError with the problems of all."""
    found: list[ScenarioFile] = []
    problems: list[str] = []
    for file in files:
        try:
            found.append(read_scenario(file, policy))
        except UsageError as error:
            problems.append(str(error))
    if problems:
        raise UsageError("; ".join(problems))
    return found


def run_scenario(found: ScenarioFile, seeds: int, done: Callable[[], None]) -> FileResult:
    """Run one scenario with `seeds` seeds, from its own seed upwards. done: called after each run."""
    began = time.perf_counter()
    scenario = found.scenario
    numbers = range(scenario.seed, scenario.seed + seeds)
    checks = []
    for seed in numbers:
        trace = run(scenario.model_copy(update={"seed": seed}), found.policy, found.title, found.folder).trace
        checks.append([check(e, trace) for e in scenario.expect])
        done()
    results = []
    for number, expectation in enumerate(scenario.expect):
        column = [row[number] for row in checks]
        unmet = tuple(seed for seed, c in zip(numbers, column, strict=True) if not c.met)
        shown = numbers.index(unmet[0]) if unmet else 0
        required = min(seeds, ceil(expectation.seeds.value * seeds - 1e-9))
        results.append(
            Result(
                describe(expectation), seeds - len(unmet), seeds, required, column[shown].seen, numbers[shown], unmet
            )
        )
    return FileResult(found.file, scenario.description, tuple(results), time.perf_counter() - began)
