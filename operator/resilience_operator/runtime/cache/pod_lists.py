"""Bounds the lists of pods: in time, in number at once and per second, and not where they are forbidden."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import TypeVar

from resilience_operator.decision.model.target import TargetState
from resilience_operator.resilience import CallError, Deadline
from resilience_operator.runtime.scheduling.token_bucket import TokenBucket

log = logging.getLogger(__name__)

LIST_TIME = 3.0
"""Maximum seconds of one list. Without an answer, the evaluation uses the last list, or none."""

LISTS_PER_SECOND = 20.0
"""Lists per second of all targets. Above that, for instance in an outage of the cluster, older lists are used."""

CONCURRENT_LISTS = 8

FORBIDDEN_FOR = 300.0
"""Seconds without lists in a namespace in which the operator may not list pods."""

T = TypeVar("T")


class PodLists:
    """The lists of pods of all targets. clock: seconds since the epoch."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._forbidden: dict[str, float] = {}
        self._budget = TokenBucket(LISTS_PER_SECOND, time.monotonic, burst_seconds=5.0, full=True)
        self._slots = asyncio.Semaphore(CONCURRENT_LISTS)

    async def read(
        self, target: TargetState, list_them: Callable[[Deadline], Awaitable[T]], otherwise: str
    ) -> T | None:
        """Return what `list_them` returns, or None if the pods cannot be listed now. Raises no CallError.

        otherwise: what follows if the operator has no right to list pods, for the log.
        """
        now = self._clock()
        if self._forbidden.get(target.namespace, 0.0) > now or not self._budget.take():
            return None
        try:
            async with asyncio.timeout(LIST_TIME), self._slots:
                return await list_them(Deadline.after(LIST_TIME))
        except (CallError, TimeoutError) as error:
            if isinstance(error, CallError) and error.status == HTTPStatus.FORBIDDEN:
                self._forbidden[target.namespace] = now + FORBIDDEN_FOR
                log.warning(
                    "the operator may not list pods in namespace %s: %s. Grant it list on pods, as in "
                    "manifests/base/rbac.yaml",
                    target.namespace,
                    otherwise,
                )
            else:
                place, reason = (target.kind, target.namespace, target.name), str(error) or "timeout"
                log.info("%s %s/%s: its pods cannot be listed: %s", *place, reason)
        return None
