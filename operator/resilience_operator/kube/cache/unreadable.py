"""Objects on the API server that cannot be read: each version is logged and counted once."""

from __future__ import annotations

import logging
from collections.abc import Callable

from resilience_operator.kube.client.decoding import Unreadable

log = logging.getLogger(__name__)

OnUnreadable = Callable[[str], None]
"""Called with the resource's plural, once for each version of each object that cannot be read."""

REMEMBERED = 10_000
"""Number of objects for which the last reported version is kept."""


class UnreadableObjects:
    """Logs and counts each unreadable version once, although lists and several watches receive it repeatedly."""

    def __init__(self, on_unreadable: OnUnreadable | None = None) -> None:
        self._on_unreadable = on_unreadable
        self._reported: dict[tuple[str, str, str], str] = {}

    def report(self, resource: str, found: Unreadable) -> None:
        """Report an object. resource: its plural."""
        key = (resource, found.namespace, found.name)
        version = f"{found.uid}/{found.resource_version}"
        if self._reported.get(key) == version:
            return
        self._reported.pop(key, None)
        self._reported[key] = version
        if len(self._reported) > REMEMBERED:
            del self._reported[next(iter(self._reported))]
        log.warning(
            "%s %s cannot be read and is skipped (resourceVersion %s): %s",
            resource,
            found.described(),
            found.resource_version or "unknown",
            found.reason,
        )
        if self._on_unreadable is not None:
            self._on_unreadable(resource)
