"""The record store of a reflector: records by namespace and name, with secondary indexes.

Pure: the caller puts records, and the store returns what changed.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from typing import Generic, TypeVar

T = TypeVar("T")
Key = tuple[str, str]
"""namespace, name."""
Index = Callable[[T], Hashable]
"""Computes the index value of a record; None: the record is not in the index."""


class Store(Generic[T]):
    """Records by key, with secondary indexes. Not thread-safe."""

    def __init__(self, indexes: Mapping[str, Index[T]] | None = None) -> None:
        self._records: dict[Key, T] = {}
        self._indexes = dict(indexes or {})
        # Insertion order is kept, so that an index returns its records in the same order on every run.
        self._by: dict[str, dict[Hashable, dict[Key, None]]] = {name: {} for name in self._indexes}

    def __len__(self) -> int:
        return len(self._records)

    def __iter__(self) -> Iterator[T]:
        return iter(self._records.values())

    def get(self, namespace: str, name: str) -> T | None:
        return self._records.get((namespace, name))

    def by_index(self, index: str, value: Hashable) -> list[T]:
        """The records with that value in that index."""
        return [self._records[key] for key in self._by[index].get(value, ())]

    def keys(self, namespace: str | None = None) -> list[Key]:
        """All keys, of one namespace or of all."""
        return [key for key in self._records if namespace is None or key[0] == namespace]

    def put(self, key: Key, record: T | None) -> tuple[T | None, T | None] | None:
        """Set a record, or drop it (None). Returns the change as (old, new), or None if nothing changed."""
        old = self._records.get(key)
        if old == record:
            return None
        if old is not None:
            self._unindex(key, old)
        if record is None:
            del self._records[key]
        else:
            self._records[key] = record
            for name, index in self._indexes.items():
                if (value := index(record)) is not None:
                    self._by[name].setdefault(value, {})[key] = None
        return old, record

    def retain(self, kept: Iterable[Key], namespace: str | None = None) -> list[T]:
        """Drop each record, in that namespace or in all, whose key is not in `kept`. Returns the dropped records."""
        kept = set(kept)
        dropped = []
        for key in self.keys(namespace):
            if key not in kept:
                change = self.put(key, None)
                if change is not None and change[0] is not None:
                    dropped.append(change[0])
        return dropped

    def _unindex(self, key: Key, record: T) -> None:
        for name, index in self._indexes.items():
            if (value := index(record)) is None:
                continue
            keys = self._by[name][value]
            del keys[key]
            if not keys:
                del self._by[name][value]
