"""The operator's own metrics. Units stand in the names; labels take few values, never a policy's name."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from prometheus_client import Counter, Gauge, Histogram, Info

from resilience_operator import __version__
from resilience_operator.decision.model.commands import Result, Verb
from resilience_operator.plugins.failures import Kind
from resilience_operator.resilience.breaker import State

log = logging.getLogger(__name__)

BUILD = Info("resilience_build", "Of the operator.")
BUILD.info({"version": __version__})
EVALUATIONS = Counter("resilience_evaluations_total", "Evaluations of policies.", ["result"])
EVALUATION_SECONDS = Histogram(
    "resilience_evaluation_duration_seconds",
    "Time from the beginning of a batch of evaluations to its end.",
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
EVALUATION_LAG = Histogram(
    "resilience_evaluation_lag_seconds",
    "How late an evaluation began.",
    buckets=(0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15),
)
CALL_SECONDS = Histogram(
    "resilience_call_duration_seconds",
    "Time of a call with its retries: of the API server, a metric source, an action, a notifier.",
    ["dependency", "result"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
)
EVALUATIONS_SKIPPED = Counter(
    "resilience_evaluations_skipped_total",
    "Evaluations that were missed, since the last one took longer than an interval.",
)
CONTAINED_ERRORS = Counter(
    "resilience_contained_errors_total",
    "Unexpected errors, each contained to one policy or object, by the stage that raised them.",
    ["stage"],
)
ACTIONS = Counter("resilience_actions_total", "Commands, by what became of them.", ["action", "result"])
for _verb in Verb:
    for _result in Result:
        # A counter that is born with its first event has no increase that an alert could see.
        ACTIONS.labels(_verb.value, _result.value)
RETRIES = Counter("resilience_retries_total", "Calls that were tried again.", ["dependency", "reason"])
STATUS_WRITES = Counter("resilience_status_writes_total", "Writes of a policy's status.", ["why"])
STATUS_WRITES_WAITING = Gauge(
    "resilience_status_writes_waiting", "Policies whose status is behind, since others have more to do."
)
POLICIES = Gauge("resilience_policies", "Policies that are known.")
POLICIES_OWNED = Gauge("resilience_policies_owned", "Policies on which this replica may act.")
BREAKER_STATE = Gauge(
    "resilience_breaker_state", "1 for the state that a metric source's circuit breaker is in.", ["source", "state"]
)
BREAKER_CHANGES = Counter(
    "resilience_breaker_changes_total", "Changes of a circuit breaker's state.", ["source", "state"]
)
CUSTOM_QUERIES = Counter(
    "resilience_custom_queries_total",
    "Custom queries of policies: sent; busy: without a place at the source in time; throttled: the namespace has used "
    "its query seconds.",
    ["source", "result"],
)
PLUGIN_FAILURES = Counter(
    "resilience_plugin_failures_total",
    "Calls of plugins that failed, hung or were answered with nonsense.",
    ["kind", "plugin"],
)
NOTIFICATIONS = Counter(
    "resilience_notifications_total",
    "Notifications, by what became of them: sent, failed or dropped.",
    ["notifier", "result"],
)
NOTIFIER_FAILING = Gauge(
    "resilience_notifier_failing", "1 while the last thing that a notifier was to tell could not be told.", ["notifier"]
)
EVENTS_SUPPRESSED = Counter(
    "resilience_events_suppressed_total", "Events not written because a policy had too many in a short time."
)
WATCH_LAST_CONTACT = Gauge(
    "resilience_watch_last_contact_timestamp_seconds",
    "When the API server last confirmed that what is known of a resource is up to date; 0 before the first time.",
    ["resource"],
)
LEADER = Gauge("resilience_leader", "1 while this replica may act.")
SHARDS_HELD = Gauge("resilience_shards_held", "Shards of the policies in which this replica may act.")


UNREADABLE_OBJECTS = Counter(
    "resilience_unreadable_objects_total",
    "Versions of objects of the API server that could not be read and were skipped.",
    ["resource"],
)


def count_unreadable(resource: str) -> None:
    """A hook for the Kubernetes client: each version of each object is counted once."""
    UNREADABLE_OBJECTS.labels(resource).inc()


def record_plugin_failure(kind: Kind, plugin: str, message: str, cause: BaseException | None) -> None:
    """A hook for the plugins: in the metrics, and in the log with the plugin's own traceback."""
    PLUGIN_FAILURES.labels(kind.value, plugin).inc()
    log.warning("%s plugin %s: %s", kind.value, plugin, message, exc_info=cause)


def count_notifications(notifier: str, count: int, result: str) -> None:
    """A hook for the notifiers."""
    NOTIFICATIONS.labels(notifier, result).inc(count)
    if result != "dropped":
        NOTIFIER_FAILING.labels(notifier).set(result != "sent")


def init_breaker_series(sources: Iterable[str]) -> None:
    """Breakers are closed until something is told of them."""
    for source in sources:
        for state in State:
            BREAKER_STATE.labels(source, state.value).set(state is State.CLOSED)
        for result in ("sent", "busy", "throttled"):
            CUSTOM_QUERIES.labels(source, result)


def count_custom_query(source: str, result: str) -> None:
    """A hook for the collector."""
    CUSTOM_QUERIES.labels(source, result).inc()


def record_breaker_change(source: str, before: State, after: State, why: str) -> None:
    """A hook for the breakers: in the metrics, and in the log."""
    del before
    for state in State:
        BREAKER_STATE.labels(source, state.value).set(state is after)
    BREAKER_CHANGES.labels(source, after.value).inc()
    log.log(
        logging.WARNING if after is State.OPEN else logging.INFO,
        "metric source %s: its circuit breaker is %s: %s",
        source,
        after.value,
        why,
    )
