"""What is shown: on a terminal a table that keeps up with the cluster, elsewhere a line for each change."""

from __future__ import annotations

import time

from rich import box
from rich.console import Console, Group
from rich.live import Live
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from tests.demo.view import DONE, NAME, Obj, Snapshot

STYLES = {"Ok": "green", "Pending": "yellow", "Breach": "bold red", "Unknown": "dim"}
MOODS = {"Stable": "green", "Progressing": "cyan", "Baking": "cyan", "Paused": "bold red", "RollingBack": "yellow"}
WIDTH = 118
"""Columns where there is no terminal to ask."""

EVERY = 5.0
"""Seconds between two lines of values alone, where there is no terminal."""


class Screen:
    """Writes the story line by line; below it, on a terminal, how things are right now."""

    def __init__(self) -> None:
        console = Console(highlight=False)
        self.live_able = console.is_terminal and not console.is_dumb_terminal
        self.console = (
            console if self.live_able else Console(highlight=False, no_color=True, width=WIDTH, force_terminal=False)
        )
        self.began = time.monotonic()
        self._live: Live | None = None
        self._decisions: set[str] = set()
        self._events: set[str] = set()
        self._line: object = None
        self._line_at = 0.0

    @property
    def elapsed(self) -> float:
        """Seconds since the beginning."""
        return time.monotonic() - self.began

    def headline(self, text: str) -> None:
        """The title of an act."""
        self.console.print()
        self.console.rule(Text(text, style="bold"), align="left", style="blue", characters="─")

    def say(self, text: str) -> None:
        """One sentence of the story."""
        first, *others = text.splitlines() or [""]
        self._stamped(Text(first))
        for other in others:
            self.console.print(Text(f"         {other}", style="dim"), soft_wrap=True)

    def tick(self, passed: bool, text: str) -> None:
        """One line of a check list."""
        mark = Text("  ✓ ", style="green") if passed else Text("  ✗ ", style="bold red")
        self.console.print(mark.append(text, style="" if passed else "bold red"))

    def open(self) -> None:
        """Begin to show how things are."""
        if self.live_able and self._live is None:
            self._live = Live(console=self.console, transient=True, auto_refresh=False)
            self._live.start()

    def close(self) -> None:
        """End showing how things are; the story stays."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def show(self, seen: Snapshot) -> None:
        """Show a moment: what was decided and told since the last one, and how things are."""
        for event in seen.events:
            if event["metadata"]["uid"] not in self._events:
                self._events.add(event["metadata"]["uid"])
                if event["reason"] not in DONE:
                    self._stamped(_event(event))
        for decision in seen.journal:
            key = f"{decision['at']} {decision['action']}"
            if key not in self._decisions:
                self._decisions.add(key)
                self._stamped(_decision(decision))
        if self._live is not None:
            self._live.update(_panel(seen, self.elapsed), refresh=True)
        elif not self.live_able:
            self._show_line(seen)

    def _show_line(self, seen: Snapshot) -> None:
        state = ([s.verdict for s in seen.signals], seen.replicas, seen.tags, seen.phase, seen.paused, seen.mode)
        values = [s.value for s in seen.signals]
        same_state = isinstance(self._line, tuple) and self._line[0] == state
        if same_state and (self._line == (state, values) or self.elapsed - self._line_at < EVERY):
            return
        self._line, self._line_at = (state, values), self.elapsed
        signals = ", ".join(f"{s.name} {s.value} [{s.threshold}] {s.verdict}" for s in seen.signals)
        self._stamped(Text(f"| {signals} | {_pods(seen)} | {_phase(seen)}"))

    def _stamped(self, text: Text) -> None:
        self.console.print(Text(f"{self.elapsed:6.1f}s  ", style="dim").append_text(text), soft_wrap=not self.live_able)


def _event(event: Obj) -> Text:
    warning = event["type"] == "Warning"
    head = Text("! " if warning else "i ", style="yellow" if warning else "dim")
    return head.append(f"{event['type']} {event['reason']} ", style="bold").append(event["note"])


def _decision(decision: Obj) -> Text:
    rehearsed = "(dry run) " if decision.get("dryRun") else ""
    return Text("» ", style="magenta").append(f"{rehearsed}{step(decision)} ", style="bold").append(decision["message"])


def step(decision: Obj) -> str:
    """`scaleUp 3 → 5`."""
    before, after = decision.get("from"), decision.get("to")
    return f"{decision['action']} {before} → {after}" if before != after else f"{decision['action']} {after}"


def _pods(seen: Snapshot) -> str:
    by_tag = " + ".join(f"{count}×{tag}" for tag, count in sorted(seen.tags.items()))
    return f"{seen.replicas} replicas: {by_tag or 'no pods'}"


def _phase(seen: Snapshot) -> str:
    mode = "" if seen.mode == "Enforce" else f" [{seen.mode}]"
    return f"{seen.phase or 'not seen yet'}{' (spec.paused)' if seen.paused else ''}{mode}"


def _panel(seen: Snapshot, elapsed: float) -> Padding:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, min_width=64)
    table.add_column("signal")
    table.add_column("now", justify="right", min_width=8)
    table.add_column("the rule")
    table.add_column("verdict", min_width=8)
    for signal in seen.signals:
        style = STYLES.get(signal.verdict, "")
        table.add_row(signal.name, Text(signal.value, style=style), signal.condition, Text(signal.verdict, style=style))
    state = Text(f"{elapsed:.0f} s · Deployment {NAME}, {_pods(seen)} · ")
    state.append(_phase(seen), style=MOODS.get(seen.phase, "yellow"))
    return Padding(Group(table, state), (1, 0, 0, 2))
