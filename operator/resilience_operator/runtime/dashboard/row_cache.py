"""Cached list row of a policy, built from its status in the API server, whichever replica wrote it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from resilience_operator.api.status import PolicyStatus
from resilience_operator.explain.health import PolicyHealth, health_of
from resilience_operator.explain.overview import Row
from resilience_operator.runtime.cache.packed_status import unpack_text
from resilience_operator.runtime.cache.policy_entry import PolicyEntry

Owns = Callable[[str], bool]
"""Returns True if this replica acts on the policies of a namespace."""


@dataclass(frozen=True, slots=True)
class CachedRow:
    """The row of a policy at one point in time.

    source, generation: cache key. Each write and each event replaces the `source` object.
    """

    row: Row
    acting: bool
    text: str
    source: object
    generation: int

    @classmethod
    def of(cls, entry: PolicyEntry, acting: bool) -> CachedRow:
        """Build the row. Never fails: an unreadable status results in a row that says so."""
        status = _read(unpack_text(entry.packed_status))
        kind, namespace, name = entry.compiled.kind, entry.namespace, entry.target[2]
        mode = entry.policy.mode.value if entry.policy is not None else ""
        state = (
            PolicyHealth("Unreadable", "its status was written by another version of the operator", 100)
            if status is None
            else health_of(status, entry.compiled.generation)
        )
        row = Row(namespace, entry.name, mode, f"{kind}/{name}", state, status or PolicyStatus())
        text = f"{namespace}/{entry.name} {row.target} {state.word} {mode}".lower()
        return cls(row, acting, text, entry.packed_status, entry.compiled.generation)

    def is_current(self, entry: PolicyEntry, acting: bool) -> bool:
        """Return True if the policy has not changed since the row was built."""
        return (
            self.acting == acting
            and self.generation == entry.compiled.generation
            and self.source is entry.packed_status
        )

    def without_details(self) -> CachedRow:
        """Return a copy without the fields that the list does not show."""
        bare = self.row.status.model_copy(update={"memory": None, "history": (), "quarantined": (), "conditions": ()})
        return replace(self, row=replace(self.row, status=bare))


def _read(status: bytes) -> PolicyStatus | None:
    try:
        found = PolicyStatus.model_validate_json(status)
        found.model_dump(mode="json", exclude={"memory"})
    except ValueError:  # a ValidationError, or a value that cannot be serialized as JSON
        return None
    return found
