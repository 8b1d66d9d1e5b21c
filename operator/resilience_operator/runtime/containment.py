"""Isolates unexpected errors to the policy or object that caused them: counts and logs them by name."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from enum import StrEnum
from typing import Any

from resilience_operator.runtime.telemetry.metrics import CONTAINED_ERRORS

log = logging.getLogger(__name__)


class Stage(StrEnum):
    """What the operator was doing when an unexpected error was raised: the `stage` label of the metric."""

    WATCH = "watch"
    LIST = "list"
    SPEC = "spec"
    STATUS = "status"
    SCHEDULE = "schedule"
    RESOLVE = "resolve"
    COLLECT = "collect"
    COMPARE = "compare"
    OBSERVE = "observe"
    RECONCILE = "reconcile"
    WRITE = "write"
    REPORT = "report"
    PLUGIN = "plugin"
    CLEANUP = "cleanup"
    TASK = "task"


for _stage in Stage:
    # Create each series at 0: a counter that first appears with its first error shows no increase.
    CONTAINED_ERRORS.labels(_stage.value)


def contain(stage: Stage, namespace: str, name: str, error: BaseException, *, known: bool = False) -> None:
    """Count and log an unexpected error of one policy or object.

    known: the same error was logged before. It is counted, and logged at debug level without a traceback.
    """
    CONTAINED_ERRORS.labels(stage.value).inc()
    log.log(
        logging.DEBUG if known else logging.ERROR,
        "%s/%s: unexpected error in stage %s: %r",
        namespace,
        name,
        stage.value,
        error,
        exc_info=None if known else error,
        extra={"policy": f"{namespace}/{name}", "stage": stage.value},
    )


def start(work: Coroutine[Any, Any, Any], name: str) -> asyncio.Task[Any]:
    """Start a background task. If it fails, count and log the error at once."""
    task = asyncio.create_task(work, name=name)
    task.add_done_callback(_ended)
    return task


def _ended(task: asyncio.Task[Any]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        CONTAINED_ERRORS.labels(Stage.TASK.value).inc()
        log.error("background task %s failed: %r", task.get_name(), error, exc_info=error)


def count_unhandled(loop: asyncio.AbstractEventLoop) -> None:
    """Count and log errors that no task and no callback of `loop` handled."""

    def unhandled(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        CONTAINED_ERRORS.labels(Stage.TASK.value).inc()
        error = context.get("exception")
        log.error("unhandled error in the event loop: %s", context.get("message"), exc_info=error)

    loop.set_exception_handler(unhandled)
