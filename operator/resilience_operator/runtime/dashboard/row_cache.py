"""What is shown of a policy in a list: its status as the API server has it, whoever wrote that."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from resilience_operator.api.status import PolicyStatus
from resilience_operator.explain.health import PolicyHealth, health_of
from resilience_operator.explain.overview import Row
from resilience_operator.runtime.cache.policy_entry import PolicyEntry

Owns = Callable[[str], bool]
"""Whether this replica acts on the policies of a namespace."""


@dataclass(frozen=True, slots=True)
class CachedRow:
    """A policy's row as of one moment.

    source, generation: what it was made of. Each write and each event puts another object there, by which one knows.
    """

    row: Row
    acting: bool
    text: str
    source: object
    generation: int

    @classmethod
    def of(cls, entry: PolicyEntry, acting: bool) -> CachedRow:
        """Make it. Total: a status that cannot be shown makes a row that says so."""
        status = _read(entry.raw_status)
        kind, namespace, name = entry.kind, entry.namespace, entry.target[2]
        mode = entry.policy.mode.value if entry.policy is not None else ""
        state = (
            PolicyHealth("Unreadable", "its status was written by another version of the operator", 100)
            if status is None
            else health_of(status, entry.generation)
        )
        row = Row(namespace, entry.name, mode, f"{kind}/{name}", state, status or PolicyStatus())
        text = f"{namespace}/{entry.name} {row.target} {state.word} {mode}".lower()
        return cls(row, acting, text, entry.raw_status, entry.generation)

    def is_current(self, entry: PolicyEntry, acting: bool) -> bool:
        """Whether nothing has changed since."""
        return self.acting == acting and self.generation == entry.generation and self.source is entry.raw_status

    def without_details(self) -> CachedRow:
        """Without what a list does not show."""
        bare = self.row.status.model_copy(update={"memory": None, "history": (), "quarantined": (), "conditions": ()})
        return replace(self, row=replace(self.row, status=bare))


def _read(status: bytes) -> PolicyStatus | None:
    try:
        found = PolicyStatus.model_validate_json(status)
        found.model_dump(mode="json", exclude={"memory"})
    except ValueError:  # a ValidationError, or what cannot be written as JSON
        return None
    return found
