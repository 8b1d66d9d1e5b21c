"""One act: it waits for states up to its limit, and ends with a list of what must have happened."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from tests.demo.screen import Screen
from tests.demo.stage import Stage
from tests.demo.view import Snapshot, look

POLL = 0.4
"""Seconds between two looks; a look is four requests."""

GRACE = 10.0
"""Seconds for what is recorded a moment after it happened (events), beyond the act's limit if need be."""

Holds = Callable[[Snapshot], object]


class CutShort(Exception):  # noqa: N818
    """The act cannot go on; the text says what is missing."""


@dataclass(frozen=True)
class Check:
    """Something that must have happened, and how to tell from how things are at the end."""

    text: str
    holds: Holds


@dataclass(frozen=True)
class Line:
    """One line of the list at the end."""

    passed: bool
    text: str


class Act:
    """Where a scene is played: it speaks, waits, and keeps the list."""

    def __init__(self, stage: Stage, screen: Screen, limit: float) -> None:
        self.stage, self.screen, self.world = stage, screen, stage.world
        self._limit, self._ends = limit, time.monotonic() + limit
        self._reached: list[Line] = []
        self._checks: list[Check] = []

    def say(self, text: str) -> None:
        """One sentence of the story."""
        self.screen.say(text)

    def look(self) -> Snapshot:
        """Read how things are, and show it. An API that does not answer is asked again until the limit."""
        while True:
            try:
                seen = look(self.world)
            except Exception as error:
                if time.monotonic() > self._ends + GRACE:
                    raise CutShort(f"the API cannot be read: {error}") from error
                time.sleep(POLL)
            else:
                self.screen.show(seen)
                return seen

    def until(self, holds: Holds, what: str = "") -> Snapshot:
        """Wait for a state, and return it; what has a name is in the list. Raises CutShort at the act's limit."""
        while not holds(seen := self.look()):
            if broken := self.stage.broken():
                raise CutShort(broken)
            if time.monotonic() > self._ends:
                raise CutShort(f"{what or 'the initial state of the act'} (not within {self._limit:.0f} s)")
            time.sleep(POLL)
        if what:
            self._reached.append(Line(True, what))
        return seen

    def check(self, text: str, holds: Holds) -> None:
        """Add to the list. Said before it happens, so that an act cut short tells all that is missing."""
        self._checks.append(Check(text, holds))

    def settle(self) -> list[Line]:
        """The list: what was reached on the way, and the checks, read from the API now."""
        ends = time.monotonic() + GRACE
        while True:
            seen = self.look()
            lines = [Line(bool(check.holds(seen)), check.text) for check in self._checks]
            if all(line.passed for line in lines) or time.monotonic() > ends or self.stage.broken():
                return [*self._reached, *lines]
            time.sleep(POLL)


@dataclass(frozen=True)
class Scene:
    """What an act is called, how it goes, and how many seconds it may take."""

    title: str
    play: Callable[[Act], None]
    limit: float = 120.0


def perform(scene: Scene, stage: Stage, screen: Screen) -> list[str]:
    """Play one act, show its list, and return what is missing."""
    screen.headline(scene.title)
    screen.open()
    act = Act(stage, screen, scene.limit)
    lines: list[Line] = []
    try:
        try:
            scene.play(act)
        except CutShort as cut:
            lines.append(Line(False, str(cut)))
        lines = [*act.settle(), *lines]
    except CutShort as cut:
        lines.append(Line(False, str(cut)))
    finally:
        screen.close()
    for line in lines:
        screen.tick(line.passed, line.text)
    return [line.text for line in lines if not line.passed]
