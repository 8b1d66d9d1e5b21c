"""The four acts in the simulator, shown while the cluster's binaries are built.

It is the operator's own code on a simulated service, so that a newcomer sees something within seconds. The real run
follows.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from resilience_operator.cli.report.model import TimelineEvent
from resilience_operator.cli.scenario.check import check
from resilience_operator.cli.scenario.reader import read_scenario
from resilience_operator.cli.scenario.run import run
from tests.cluster import ClusterError, build
from tests.support.install import ROOT

FOLDER = Path(__file__).with_name("prelude")
POLICY = Path(__file__).with_name("policy.yaml")
PACE = 1.5
"""Seconds between two lines: time to read each."""

Say = Callable[[str], None]


@dataclass(frozen=True)
class Shown:
    """One act, as simulated: its description, its lines, and whether everything that it expects happened."""

    description: str
    lines: tuple[str, ...]
    met: bool


def acts() -> Iterator[Shown]:
    """The four acts, one after another."""
    with tempfile.TemporaryDirectory() as folder:
        dry = Path(folder) / "policy.yaml"
        dry.write_text(POLICY.read_text().replace("\nspec:\n", "\nspec:\n  mode: DryRun\n", 1))
        for file in sorted(FOLDER.glob("*.yaml")):
            found = read_scenario(str(file), str(dry) if "dry-run" in file.name else None)
            result = run(found.scenario, found.policy, found.title, found.folder)
            met = all(check(each, result.trace).met for each in found.scenario.expect)
            lines = tuple(_line(event, result.trace.start) for event in result.trace.events)
            yield Shown(found.scenario.description, lines, met)


def _line(event: TimelineEvent, start: float) -> str:
    return f"+{event.at - start:.0f}s  {event.action}: {event.message}"


def missing() -> list[str]:
    """Names of the cluster's binaries that are not built yet."""
    return [name for name in build.CLUSTER if not build.SOURCES[name].binary().exists()]


def play_while_building(say: Say, pace: float = PACE) -> None:
    """Build what is missing, and show the acts meanwhile. Returns when both are done. Raises ClusterError."""
    if not (names := missing()):
        return
    say(f"{', '.join(names)} have to be built first, which takes minutes.")
    say("Meanwhile, the same four acts in the simulator: the operator's own code, a simulated service, no cluster.")
    building = subprocess.Popen([sys.executable, "-m", "tests.cluster", "build"], cwd=ROOT, stdin=subprocess.DEVNULL)
    try:
        _show(say, pace, lambda: building.poll() is not None)
        if building.wait():
            raise ClusterError("the binaries could not be built; the reason is above")
    finally:
        if building.poll() is None:
            # Like Ctrl-C: it stops the compiler before it ends.
            building.send_signal(signal.SIGINT)
            building.wait()


def _show(say: Say, pace: float, built: Callable[[], bool]) -> None:
    for number, act in enumerate(acts(), 1):
        say(f"Simulated act {number}. {act.description}")
        for line in act.lines:
            say(f"    {line}")
            if not built():
                time.sleep(pace)
    say("That was the simulator. The real run follows as soon as everything is built.")
