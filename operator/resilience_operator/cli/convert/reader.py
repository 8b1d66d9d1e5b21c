"""A document reader that tracks the keys that were read, so that ignored keys are reported."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class ConversionNote:
    """A difference between the document and the policy.

    where: the path in the document. lost: nothing replaces it; otherwise the policy has an approximation.
    """

    where: str
    text: str
    lost: bool = False

    def __str__(self) -> str:
        return f"{self.where}: {self.text}" if self.where else self.text


@dataclass(slots=True)
class TrackingReader:
    """A mapping of the document, at `path`, that tracks which keys were read. remarks: collects the notes."""

    content: Mapping[str, Any]
    path: str
    notes: list[ConversionNote]
    _asked: set[str] = field(default_factory=set)
    _inner: list[TrackingReader] = field(default_factory=list)

    def take(self, key: str, default: Any = None) -> Any:
        """Read the value of a key."""
        self._asked.add(key)
        value = self.content.get(key)
        return default if value is None else value

    def inside(self, key: str) -> TrackingReader:
        """Read the mapping at a key; empty if there is none."""
        return self._reader(self.take(key, {}), self._at(key))

    def each(self, key: str) -> list[TrackingReader]:
        """Read the mappings in the list at a key."""
        found = self.take(key, [])
        listed = found if isinstance(found, list) else [found]
        return [self._reader(one, f"{self._at(key)}[{n}]") for n, one in enumerate(listed)]

    def drop(self, key: str, text: str, *, lost: bool = False) -> None:
        """Add a note on a key, if it exists, and mark it as read."""
        if self.take(key) is not None:
            self.add_note(text, key, lost=lost)

    def add_note(self, text: str, key: str = "", *, lost: bool = False) -> None:
        """Add a note on this path."""
        self.notes.append(ConversionNote(self._at(key) if key else self.path, text, lost))

    def note_unread(self) -> None:
        """Notes on all keys, here and below, that were not read."""
        for key in self._unread():
            self.add_note("unknown field, skipped", key, lost=True)
        for reader in self._inner:
            reader.note_unread()

    def _unread(self) -> Iterator[str]:
        return (str(key) for key in self.content if key not in self._asked)

    def _at(self, key: str) -> str:
        return f"{self.path}.{key}" if self.path else key

    def _reader(self, content: Any, path: str) -> TrackingReader:
        if not isinstance(content, Mapping):
            self.notes.append(ConversionNote(path, "is not a mapping and was skipped", lost=True))
            content = {}
        reader = TrackingReader(content, path, self.notes)
        self._inner.append(reader)
        return reader
