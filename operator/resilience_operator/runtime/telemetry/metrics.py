"""Metrics of the operator. Names carry the units; labels have few values, never the name of a policy."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from prometheus_client import Counter, Gauge, Histogram, Info

from resilience_operator import __version__
from resilience_operator.decision.model.commands import Result, Verb
from resilience_operator.plugins.failures import Kind
from resilience_operator.resilience.breaker import State

log = logging.getLogger(__name__)

BUILD = Info("resilience_build", "Build information of the operator.")
BUILD.info({"version": __version__})
EVALUATIONS = Counter("resilience_evaluations_total", "Policy evaluations, by result.", ["result"])
EVALUATION_SECONDS = Histogram(
    "resilience_evaluation_duration_seconds",
    "Duration of a batch of evaluations.",
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
EVALUATION_LAG = Histogram(
    "resilience_evaluation_lag_seconds",
    "Delay between the due time and the start of an evaluation.",
    buckets=(0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15),
)
CALL_SECONDS = Histogram(
    "resilience_call_duration_seconds",
    "Duration of a call including retries, to the API server, a metric source, an action or a notifier.",
    ["dependency", "result"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
)
EVALUATIONS_SKIPPED = Counter(
    "resilience_evaluations_skipped_total",
    "Evaluations missed because the previous one took longer than the interval.",
)
CONTAINED_ERRORS = Counter(
    "resilience_contained_errors_total",
    "Unexpected errors that were contained to one policy or object, by stage.",
    ["stage"],
)
ACTIONS = Counter("resilience_actions_total", "Executed commands, by action and result.", ["action", "result"])
for _verb in Verb:
    for _result in Result:
        # Create each series at 0: a counter that first appears with its first event shows no increase.
        ACTIONS.labels(_verb.value, _result.value)
RETRIES = Counter("resilience_retries_total", "Retried calls, by dependency and reason.", ["dependency", "reason"])
STATUS_WRITES = Counter("resilience_status_writes_total", "Status writes, by reason.", ["why"])
STATUS_WRITES_WAITING = Gauge("resilience_status_writes_waiting", "Policies with a deferred status write in the queue.")
POLICIES = Gauge("resilience_policies", "Policies in the cache.")
POLICIES_OWNED = Gauge("resilience_policies_owned", "Policies on which this replica may act.")
BREAKER_STATE = Gauge(
    "resilience_breaker_state",
    "1 for the current state of a metric source's circuit breaker, 0 for the others.",
    ["source", "state"],
)
BREAKER_CHANGES = Counter(
    "resilience_breaker_changes_total", "State changes of a metric source's circuit breaker.", ["source", "state"]
)
CUSTOM_QUERIES = Counter(
    "resilience_custom_queries_total",
    "Custom queries, by result: sent; busy (no free slot at the source in time); throttled (the namespace has used "
    "its query seconds).",
    ["source", "result"],
)
PLUGIN_FAILURES = Counter(
    "resilience_plugin_failures_total",
    "Plugin calls that failed, timed out or returned an invalid result.",
    ["kind", "plugin"],
)
NOTIFICATIONS = Counter(
    "resilience_notifications_total",
    "Notifications, by result: sent, failed or dropped.",
    ["notifier", "result"],
)
NOTIFIER_FAILING = Gauge("resilience_notifier_failing", "1 if the last notification could not be sent.", ["notifier"])
EVENTS_SUPPRESSED = Counter(
    "resilience_events_suppressed_total", "Events suppressed by the rate limit of their policy."
)
WATCH_LAST_CONTACT = Gauge(
    "resilience_watch_last_contact_timestamp_seconds",
    "Last time the API server confirmed that the cache of a resource is up to date; 0 before the first.",
    ["resource"],
)
LEADER = Gauge("resilience_leader", "1 while this replica may act.")
SHARDS_HELD = Gauge("resilience_shards_held", "Shards in which this replica may act.")


UNREADABLE_OBJECTS = Counter(
    "resilience_unreadable_objects_total",
    "Object versions from the API server that could not be decoded and were skipped.",
    ["resource"],
)


def count_unreadable(resource: str) -> None:
    """Hook of the Kubernetes client: counts each version of each object once."""
    UNREADABLE_OBJECTS.labels(resource).inc()


def record_plugin_failure(kind: Kind, plugin: str, message: str, cause: BaseException | None) -> None:
    """Hook of the plugins: counts the failure, and logs it with the plugin's traceback."""
    PLUGIN_FAILURES.labels(kind.value, plugin).inc()
    log.warning("%s plugin %s: %s", kind.value, plugin, message, exc_info=cause)


def count_notifications(notifier: str, count: int, result: str) -> None:
    """Hook of the notifiers."""
    NOTIFICATIONS.labels(notifier, result).inc(count)
    if result != "dropped":
        NOTIFIER_FAILING.labels(notifier).set(result != "sent")


def init_breaker_series(sources: Iterable[str]) -> None:
    """Report all breakers as closed before their first change."""
    for source in sources:
        for state in State:
            BREAKER_STATE.labels(source, state.value).set(state is State.CLOSED)
        for result in ("sent", "busy", "throttled"):
            CUSTOM_QUERIES.labels(source, result)


def count_custom_query(source: str, result: str) -> None:
    """Hook of the collector."""
    CUSTOM_QUERIES.labels(source, result).inc()


def record_breaker_change(source: str, before: State, after: State, why: str) -> None:
    """Hook of the breakers: counts and logs each change."""
    del before
    for state in State:
        BREAKER_STATE.labels(source, state.value).set(state is after)
    BREAKER_CHANGES.labels(source, after.value).inc()
    log.log(
        logging.WARNING if after is State.OPEN else logging.INFO,
        "metric source %s: circuit breaker is %s: %s",
        source,
        after.value,
        why,
    )
