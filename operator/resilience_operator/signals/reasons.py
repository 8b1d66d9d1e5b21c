"""The stable words for why a signal has no value. People alert on them: they are only ever added to."""

from typing import Final

NO_DATA: Final = "NoData"
"""The query answered no series for this target."""

NO_TRAFFIC: Final = "NoTraffic"
"""The series are there, but not one request was counted within the window."""

NOT_A_NUMBER: Final = "NotANumber"
"""The value is NaN or infinite."""

STALE: Final = "Stale"
"""The answer is of another time than now: the backend's clock is off, or the answer is old."""

AMBIGUOUS_RESULT: Final = "AmbiguousResult"
"""Several series where one was meant."""

SOURCE_UNREACHABLE: Final = "SourceUnreachable"
"""No connection, or the backend answered that it cannot serve (5xx, 429)."""

NAME_NOT_RESOLVED: Final = "NameNotResolved"
"""DNS does not know the backend's host name, or cannot be asked."""

SOURCE_TIMED_OUT: Final = "SourceTimedOut"
"""No whole answer in time."""

SOURCE_BUSY: Final = "SourceBusy"
"""A custom query was not sent, or too late: it waited for a place behind other custom queries."""

QUERY_BUDGET_SPENT: Final = "QueryBudgetSpent"
"""The namespace's custom queries have used their query seconds a minute; they are sent less often."""

SOURCE_REFUSED: Final = "SourceRefused"
"""The backend refused the operator: credentials, permissions, or a wrong address."""

BAD_ANSWER: Final = "BadAnswer"
"""What came back is not a Prometheus answer, only half of one, or too large."""

BAD_QUERY: Final = "BadQuery"
"""The backend, or a check before it, found the query wrong."""

CIRCUIT_OPEN: Final = "CircuitOpen"
"""The source failed so often, or was so slow, that it is left alone for a while."""

SOURCE_NOT_FOUND: Final = "SourceNotFound"
"""The policy names a source that the operator's configuration does not have."""

PRESET_NOT_FOUND: Final = "PresetNotFound"
"""There is no such family, or the family has no such signal."""

NODES_NOT_WATCHED: Final = "NodesNotWatched"
"""The operator looks at single namespaces, and does not watch nodes."""

NODES_NOT_LISTED: Final = "NodesNotListed"
"""The nodes could not be listed, or their watch is broken."""

NO_ZONES: Final = "NoZones"
"""No node that the pods could run on has a zone."""

PARTIAL_ANSWER: Final = "PartialAnswer"
"""The backend said that a part of the data was missing (Thanos, Mimir, VictoriaMetrics)."""

INTERNAL_ERROR: Final = "InternalError"
"""The operator itself failed over this signal; its log has the trace."""
