"""Appending lines of JSON: an action and a notifier."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from resilience_operator.plugins import ActionCall, Deadline, GiveUp, Notification


def _file(options: Mapping[str, Any]) -> Path:
    if not isinstance(options.get("file"), str):
        raise ValueError("the option file is missing: name the file to append to")
    return Path(options["file"])


def _append(file: Path, line: Mapping[str, Any]) -> None:
    with file.open("a", encoding="utf-8") as out:
        out.write(json.dumps(line) + "\n")


class AppendAction:
    """Takes each call down. The file itself remembers the keys, so a call that is repeated is one line."""

    def __init__(self, name: str, options: Mapping[str, Any]) -> None:
        self._file = _file(options)

    def run(self, call: ActionCall) -> str:
        """`with: {note: …}` is taken down too."""
        note = call.arguments.get("note", "")
        if not isinstance(note, str):
            raise GiveUp("note is a text", reason="bad_query")
        if self._knows(call.key):
            return "taken down already"
        fields = dataclasses.asdict(dataclasses.replace(call, deadline=Deadline(0.0)))
        del fields["deadline"]
        _append(self._file, fields)
        return f"taken down: {note}"

    def _knows(self, key: str) -> bool:
        if not self._file.exists():
            return False
        with self._file.open(encoding="utf-8") as lines:
            return any(json.loads(line)["key"] == key for line in lines)


class AppendNotifier:
    """Takes each notification down. A coroutine, to show that it may be one."""

    def __init__(self, name: str, options: Mapping[str, Any]) -> None:
        self._file = _file(options)

    async def notify(self, notification: Notification, deadline: Deadline) -> None:
        """One line for each."""
        _append(self._file, dataclasses.asdict(notification))
