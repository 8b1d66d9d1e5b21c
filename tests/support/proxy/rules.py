"""Which requests a fault meets."""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from aiohttp import web

if TYPE_CHECKING:
    from tests.support.proxy.exchange import Exchange

Fault = Callable[["Exchange"], Awaitable[web.StreamResponse]]
"""What becomes of a request: forwarded with a difference, answered falsely, or lost."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A request as the proxy got it. path is without the query."""

    method: str
    path: str
    query: Mapping[str, str]
    body: bytes

    @property
    def watch(self) -> bool:
        """Whether it opens a watch of the Kubernetes API."""
        return self.query.get("watch") in ("true", "True", "1")

    @property
    def mutating(self) -> bool:
        """Whether it may change something at the API server."""
        return self.method not in ("GET", "HEAD", "OPTIONS")

    def json(self) -> Any:
        """The body as JSON; None when there is none, or it is no JSON."""
        try:
            return json.loads(self.body) if self.body else None
        except ValueError:
            return None


@dataclass(slots=True)
class Rule:
    """A fault for the requests that it meets.

    method: empty for any. path: a regular expression that is searched for. where: a further condition.
    skip: so many are let through first. times: so many are harmed, then no more; None for all.
    share: the part of them that is harmed, decided by `random`. met, used: how many it met, and harmed, so far.
    """

    fault: Fault
    method: str = ""
    path: str = ""
    where: Callable[[Asked], bool] | None = None
    skip: int = 0
    times: int | None = None
    share: float = 1.0
    random: Callable[[], float] = lambda: 0.0
    name: str = ""
    met: int = field(default=0, init=False)
    used: int = field(default=0, init=False)

    def takes(self, asked: Asked) -> bool:
        """Whether this request is harmed; counts it."""
        if self.times is not None and self.used >= self.times:
            return False
        if self.method and asked.method != self.method:
            return False
        if self.path and not re.search(self.path, asked.path):
            return False
        if self.where is not None and not self.where(asked):
            return False
        self.met += 1
        if self.met <= self.skip or self.random() >= self.share:
            return False
        self.used += 1
        return True
