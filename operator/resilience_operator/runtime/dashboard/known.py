"""What this replica knows of a policy: what it found itself where it acts, else what the API server tells."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from resilience_operator.api.status import PolicyStatus
from resilience_operator.explain.overview import Row
from resilience_operator.explain.state import State, state_of
from resilience_operator.runtime.entry import Entry

Owns = Callable[[str], bool]
"""Whether this replica acts on the policies of a namespace."""


@dataclass(frozen=True, slots=True)
class Known:
    """A policy's row as of one moment. source, generation: what it was made of, to tell whether it is still so."""

    row: Row
    acting: bool
    text: str
    source: object
    generation: int

    @classmethod
    def of(cls, entry: Entry, acting: bool) -> Known:
        """Make it."""
        status = entry.status if acting else _read(entry.raw_status)
        kind, namespace, name = entry.kind, entry.namespace, entry.target[2]
        mode = entry.policy.mode.value if entry.policy is not None else ""
        state = (
            State("Unreadable", "its status was written by another version of the operator", 100)
            if status is None
            else state_of(status, entry.generation)
        )
        row = Row(namespace, entry.name, mode, f"{kind}/{name}", state, status or PolicyStatus())
        text = f"{namespace}/{entry.name} {row.target} {state.word} {mode}".lower()
        return cls(row, acting, text, _source(entry, acting), entry.generation)

    def holds(self, entry: Entry, acting: bool) -> bool:
        """Whether nothing has changed since."""
        return self.acting == acting and self.generation == entry.generation and self.source is _source(entry, acting)


def _source(entry: Entry, acting: bool) -> object:
    """What the status is taken from. Each write and each event puts another object there."""
    return entry.status if acting else entry.raw_status


def _read(status: dict[str, Any]) -> PolicyStatus | None:
    try:
        return PolicyStatus.model_validate(status)
    except ValidationError:
        return None
