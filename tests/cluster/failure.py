"""The one error that a person sees: what failed, and what to do."""

from __future__ import annotations

from pathlib import Path


class ClusterError(Exception):
    """The cluster cannot be had; the message is written for the person who asked for it."""


class ComponentError(ClusterError):
    """A component did not become ready; carries the end of its log, which is where the reason stands."""

    def __init__(self, component: str, why: str, log: Path, lines: int = 25) -> None:
        self.component = component
        super().__init__(f"{component} {why}; the end of {log}:\n{tail(log, lines)}")


def tail(log: Path, lines: int) -> str:
    """Return the last lines of a log, indented, or say that there are none."""
    try:
        text = log.read_text(errors="replace")
    except FileNotFoundError:
        return "    (no log)"
    return "\n".join(f"    {line}" for line in text.splitlines()[-lines:]) or "    (empty)"
