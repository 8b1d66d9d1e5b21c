"""Reading a document so that nothing in it is passed over in silence: what nobody asked for can be told."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class ConversionNote:
    """Something that is not the same afterwards.

    where: the path in the document. lost: nothing at all stands in its place; else there is something near to it.
    """

    where: str
    text: str
    lost: bool = False

    def __str__(self) -> str:
        return f"{self.where}: {self.text}" if self.where else self.text


@dataclass(slots=True)
class TrackingReader:
    """A mapping of the document, at `path`, that knows which of its keys were asked for. remarks: where to tell."""

    content: Mapping[str, Any]
    path: str
    notes: list[ConversionNote]
    _asked: set[str] = field(default_factory=set)
    _inner: list[TrackingReader] = field(default_factory=list)

    def take(self, key: str, default: Any = None) -> Any:
        """The value at a key."""
        self._asked.add(key)
        value = self.content.get(key)
        return default if value is None else value

    def inside(self, key: str) -> TrackingReader:
        """The mapping at a key; an empty one where there is none."""
        return self._reader(self.take(key, {}), self._at(key))

    def each(self, key: str) -> list[TrackingReader]:
        """The mappings in the list at a key."""
        found = self.take(key, [])
        listed = found if isinstance(found, list) else [found]
        return [self._reader(one, f"{self._at(key)}[{n}]") for n, one in enumerate(listed)]

    def drop(self, key: str, text: str, *, lost: bool = False) -> None:
        """Tell what becomes of a key, if it is there."""
        if self.take(key) is not None:
            self.add_note(text, key, lost=lost)

    def add_note(self, text: str, key: str = "", *, lost: bool = False) -> None:
        """Tell something about this place."""
        self.notes.append(ConversionNote(self._at(key) if key else self.path, text, lost))

    def note_unread(self) -> None:
        """Remarks on all keys, here and within, that nobody asked for."""
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
