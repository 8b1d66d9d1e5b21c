"""kopf storages that store nothing: this process only watches and has no handler state.

kopf's own storages deep-copy each object several times per event to compute diffs for handlers. There are none here.
With 10,000 policies this took half of the start-up time.
"""

from __future__ import annotations

from typing import Any

import kopf


class NullDiffBaseStorage(kopf.DiffBaseStorage):
    """Diff-base storage that never reports a difference."""

    def build(self, **_: Any) -> kopf.BodyEssence:
        return kopf.BodyEssence()

    def fetch(self, **_: Any) -> None:
        return None

    def store(self, **_: Any) -> None:
        return None


class NullProgressStorage(kopf.ProgressStorage):
    """Progress storage without any handler in progress."""

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
