"""Stable reasons why a signal has no value. Users alert on them: never rename or remove one."""

from typing import Final

NO_DATA: Final = "NoData"
"""The query returned no series for this target."""

NO_TRAFFIC: Final = "NoTraffic"
"""The series exist, but no request was counted within the window: the source works, and there is no load."""

STATUS_NOT_READABLE: Final = "StatusNotReadable"
"""Requests are counted, but their series have no status that the preset can read."""

SEVERAL_CLUSTERS: Final = "SeveralClusters"
"""The series of the target come from several clusters."""

CPU_NOT_COVERED: Final = "CpuNotCovered"
"""Most of the CPU is used by containers without a CPU request."""

NOT_A_NUMBER: Final = "NotANumber"
"""The value is NaN or infinite."""

STALE: Final = "Stale"
"""The answer is not for the current time: the backend's clock is wrong, or the answer is old."""

AMBIGUOUS_RESULT: Final = "AmbiguousResult"
"""Several series where one is expected."""

SOURCE_UNREACHABLE: Final = "SourceUnreachable"
"""No connection, or the backend reported that it cannot serve (5xx, 429)."""

NAME_NOT_RESOLVED: Final = "NameNotResolved"
"""The backend's host name does not exist in DNS, or DNS is unavailable."""

SOURCE_TIMED_OUT: Final = "SourceTimedOut"
"""No complete answer in time."""

SOURCE_BUSY: Final = "SourceBusy"
"""A custom query was not sent, or too late: it waited for a slot behind other custom queries."""

QUERY_BUDGET_SPENT: Final = "QueryBudgetSpent"
"""The namespace's custom queries have used their query seconds per minute and are sent less often."""

SOURCE_REFUSED: Final = "SourceRefused"
"""The backend refused the request: wrong credentials, permissions or address."""

BAD_ANSWER: Final = "BadAnswer"
"""The response is not a Prometheus response, is incomplete, or is too large."""

BAD_QUERY: Final = "BadQuery"
"""The backend, or a check before it, rejected the query."""

CIRCUIT_OPEN: Final = "CircuitOpen"
"""The source failed so often, or was so slow, that its circuit breaker is open."""

SOURCE_NOT_FOUND: Final = "SourceNotFound"
"""The operator's configuration has no source with the name in the policy."""

PRESET_NOT_FOUND: Final = "PresetNotFound"
"""There is no such family, or the family has no such signal."""

NODES_NOT_WATCHED: Final = "NodesNotWatched"
"""The operator is limited to namespaces and does not watch nodes."""

NODES_NOT_LISTED: Final = "NodesNotListed"
"""The nodes could not be listed, or their watch failed."""

NO_ZONES: Final = "NoZones"
"""No node on which the pods could run has a zone."""

PARTIAL_ANSWER: Final = "PartialAnswer"
"""The backend reported that part of the data is missing (Thanos, Mimir, VictoriaMetrics)."""

INTERNAL_ERROR: Final = "InternalError"
"""The operator itself failed on this signal; its log has the traceback."""
