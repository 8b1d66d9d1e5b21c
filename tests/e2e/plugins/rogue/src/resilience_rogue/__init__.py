"""A plugin of every kind that does what it must not: `how` says what."""

from __future__ import annotations

import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any


class Rogue:
    """how: `raise`, `exit`, `hang`, `block` (the event loop of its coroutines), `nonsense`."""

    def __init__(self, name: str, options: Mapping[str, Any]) -> None:
        self._how = str(options.get("how", "raise"))

    def run(self, call: Any) -> Any:
        """An action's call; its arguments may say how, and a file in which the call's key is noted first."""
        if file := call.arguments.get("file"):
            with Path(file).open("a") as keys:
                keys.write(f"{call.key}\n")
        return _misbehave(str(call.arguments.get("how", self._how)))

    async def query(self, promql: str, **_: Any) -> Any:
        """A source's query, which blocks in a coroutine."""
        return _misbehave(self._how)

    async def notify(self, *_: Any) -> Any:
        """A notifier's call."""
        return _misbehave(self._how)


def _misbehave(how: str) -> Any:
    match how:
        case "raise":
            raise RuntimeError("https://user:secret@example.org is out of order")
        case "exit":
            sys.exit(3)
        case "nonsense":
            return {"nonsense": object()}
        case _:
            threading.Event().wait()
            return None
