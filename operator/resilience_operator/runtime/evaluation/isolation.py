"""Isolates the errors of one policy: they are counted, logged and shown in its status, and harm no other policy."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

from resilience_operator.resilience import CallError, Conflict, NotFound
from resilience_operator.runtime.cache.policy_entry import PolicyEntry
from resilience_operator.runtime.containment import Stage, contain
from resilience_operator.runtime.evaluation.context import EvaluationContext
from resilience_operator.runtime.reporting.reporter import Reporter
from resilience_operator.runtime.reporting.skip import evaluation_failed
from resilience_operator.runtime.scheduling.scheduler import Scheduler
from resilience_operator.runtime.telemetry.metrics import EVALUATIONS

log = logging.getLogger(__name__)

T = TypeVar("T")

RELOG_AFTER = 600.0
"""Seconds after which a repeated error of a policy is logged with its traceback again."""


class ErrorIsolation:
    """Runs the work on one policy. on_missing: called when a policy turns out to be deleted."""

    def __init__(
        self, context: EvaluationContext, scheduler: Scheduler, reporter: Reporter, on_missing: Callable[[], None]
    ) -> None:
        self._context = context
        self._scheduler = scheduler
        self._reporter = reporter
        self._on_missing = on_missing

    async def run(self, entry: PolicyEntry, stage: Stage, work: Callable[[], Awaitable[T]]) -> T | None:
        """Return the result of `work`, or None on an error, which is contained. Raises only CancelledError."""
        attributes = {"k8s.namespace.name": entry.namespace, "resilience.policy": entry.name}
        try:
            with self._context.tracing.span("policy", attributes):
                return await work()
        except Conflict as error:
            log.info("%s/%s changed during the evaluation; it is evaluated again: %s", *entry.key, error)
            EVALUATIONS.labels("superseded").inc()
            self._scheduler.enqueue(entry, 1.0)
        except NotFound:
            log.info("%s/%s no longer exists", *entry.key)
            EVALUATIONS.labels("missing").inc()
            self._on_missing()
        except CallError as error:
            if not entry.deleted:
                log.warning("%s/%s: %s", *entry.key, error)
            EVALUATIONS.labels("failed").inc()
        except Exception as error:
            self.failed(entry, stage, error)
        return None

    def failed(self, entry: PolicyEntry, stage: Stage, error: Exception) -> None:
        """Count and log an unexpected error, and queue the status that reports it."""
        EVALUATIONS.labels("error").inc()
        now, what, reported = self._context.clock(), f"{stage}/{type(error).__name__}", entry.reported
        known = reported.failure == what and now - reported.failure_logged < RELOG_AFTER
        contain(stage, *entry.key, error, known=known)
        if not known:
            reported.failure, reported.failure_logged = what, now
        self._reporter.defer(entry, evaluation_failed(stage, error))
