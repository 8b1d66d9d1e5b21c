"""Storages for kopf that keep nothing: there is no state to keep where it only watches.

Its own ones take several deep copies of each object with each event, in order to find what changed for handlers that do
not exist here: half of what the start of an operator with ten thousand policies cost.
"""

from __future__ import annotations

from typing import Any

import kopf


class NullDiffBaseStorage(kopf.DiffBaseStorage):
    """Objects never differ from what was handled last."""

    def build(self, **_: Any) -> kopf.BodyEssence:
        return kopf.BodyEssence()

    def fetch(self, **_: Any) -> None:
        return None

    def store(self, **_: Any) -> None:
        return None


class NullProgressStorage(kopf.ProgressStorage):
    """No handler is ever under way."""

    def fetch(self, **_: Any) -> None:
        return None

    def store(self, **_: Any) -> None:
        return None

    def purge(self, **_: Any) -> None:
        return None

    def touch(self, **_: Any) -> None:
        return None

    def clear(self, *, essence: kopf.BodyEssence) -> kopf.BodyEssence:
        return essence
