"""The conditions of a policy: their types, their reasons, and how one is merged into the list.

Reasons are an interface: scripts and alerts depend on them, so they are added to and never renamed.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from enum import StrEnum
from typing import Literal

from .status import Condition
from .text import cut, one_line

ConditionStatus = Literal["True", "False", "Unknown"]


class ConditionType(StrEnum):
    """What a policy tells of itself. All are True when all is well."""

    READY = "Ready"
    METRICS_AVAILABLE = "MetricsAvailable"
    RELEASE_HEALTHY = "ReleaseHealthy"
    SCALING = "Scaling"


REASONS: Mapping[ConditionType, Mapping[str, str]] = {
    ConditionType.READY: {
        "Accepted": "The policy is valid, its target is there, and it is being evaluated.",
        "DryRun": "The policy is evaluated and its decisions are recorded, but nothing is changed.",
        "Suspended": "spec.mode is Suspended: nothing is looked at and nothing is done.",
        "PausedByHand": "Somebody paused the policy; the message says who, why and until when.",
        "PauseUnreadable": "Somebody paused the policy until a moment that cannot be read; it stays paused.",
        "InvalidSpec": "The policy cannot work as it is written; the message says what to change.",
        "PolicyUnreadable": "The policy is there, but what it holds cannot be decoded; the message says which field.",
        "TargetUnreadable": "The workload or an HPA is there, but cannot be decoded; nothing is done until it can be.",
        "TargetNotFound": "There is no such workload in the policy's namespace.",
        "TargetConflict": "An older policy guards the same target; that one acts and this one does not.",
        "UnsupportedTarget": "The target's kind cannot do what a rule asks for.",
        "UnknownSignal": "A rule reads a signal that is neither built in nor declared.",
        "PresetNotFound": "The family of presets is not known, or has no such signal.",
        "MetricSourceNotFound": "The operator's configuration has no metric source of that name.",
        "PluginNotFound": "A plugin that the policy names is not installed.",
        "Forbidden": "The API server refused to let the operator read or change the target; the message says why.",
        "ActionFailed": "An action was refused or could not be carried out; it is tried again.",
        "StatusUnreadable": "The status could not be read and was replaced; timers and cooldowns start anew.",
        "EvaluationFailed": "The evaluation failed unexpectedly; it is tried again at the next interval.",
    },
    ConditionType.METRICS_AVAILABLE: {
        "AllSignalsMeasured": "Every signal that a rule reads has a value.",
        "NotObserved": "A rule reads a signal that was not asked for in this evaluation.",
        "NotMeasuredYet": "The policy is new, and nothing was measured so far.",
        "NoData": "A query answered no series for this target.",
        "NoTraffic": "The series are there, but not one request was counted within the window.",
        "NotANumber": "A value is NaN or infinite.",
        "Stale": "The newest sample is too old, or its time is off.",
        "TooFewSamples": "Fewer requests than minSamples stand behind a value.",
        "AmbiguousResult": "A query answered several series where one was meant.",
        "SourceUnreachable": "The metric source cannot be reached, or answers that it cannot serve.",
        "NameNotResolved": "DNS does not know the metric source's host name, or cannot be asked.",
        "SourceTimedOut": "The metric source did not answer in time.",
        "SourceBusy": "A custom query waited too long for a place at the metric source, behind other custom queries.",
        "QueryBudgetSpent": "The custom queries of the namespace have used their query seconds a minute of the metric "
        "source; they are sent less often.",
        "SourceRefused": "The metric source refused the operator: credentials or permissions are wrong.",
        "SourceNotFound": "The operator's configuration has no metric source of that name.",
        "PresetNotFound": "The family of presets is not known, or has no such signal.",
        "BadAnswer": "What came back is no answer of Prometheus, only half of one, or too large.",
        "BadQuery": "The metric source, or the operator's own check, found the query wrong.",
        "PartialAnswer": "The metric source said that a part of the data is missing.",
        "InternalError": "The operator itself failed over the signal: its log has the trace.",
        "NodesNotWatched": "The operator does not watch nodes, as it looks at single namespaces: no zones are known.",
        "NodesNotListed": "The nodes could not be listed, or their watch is broken: lost zones are not known.",
        "NoZones": "No node that the pods could run on has a zone.",
        "CircuitOpen": "The metric source failed so often, or was so slow, that it is left alone for a while; "
        "the message says what it failed with.",
    },
    ConditionType.RELEASE_HEALTHY: {
        "NoRelease": "No release is under way: every pod runs a revision that got through its bake.",
        "Progressing": "A release is under way, and nothing is held against it.",
        "Baking": "A release has reached every pod and is still being watched.",
        "ReleaseFailing": "A rule is breached by the new revision alone.",
        "Paused": "The release is held where it is.",
        "ManualPause": "A person paused the rollout; the operator neither resumes it nor rolls it back.",
        "RollingBack": "The last good revision is being restored.",
        "RolledBack": "The release was rolled back and its revision is quarantined.",
        "HeldPaused": "A quarantined revision keeps being applied; the rollout is held paused for a person.",
        "NoKnownGoodRevision": "The release fails, and there is no revision known to be good to restore.",
        "NotMeasured": "A release is under way and cannot be judged, since signals are Unknown.",
    },
    ConditionType.SCALING: {
        "WithinBounds": "The replicas are within their bounds, and no rule asks for more than is allowed.",
        "ScaledUp": "Pods were added, and are given back after calm.",
        "ScalingDown": "Pods are being given back.",
        "AtMaximum": "A rule asks for more pods, and replicas.max is reached.",
        "NothingScales": "No rule of the policy scales.",
        "ManualScale": "A person changed the replicas; that is respected.",
        "FallbackHolds": "The metrics are gone: the replicas are held, or raised to fallback.replicas.",
        "ScaleFailed": "The API server refused to scale; the message says why.",
    },
}
"""By type: each stable reason and what it means."""


def merge_condition(conditions: Iterable[Condition], new: Condition) -> tuple[Condition, ...]:
    """`conditions` with `new` in the place of the one of its type, or at the end.

    Where the status stays what it was, so does lastTransitionTime: it tells since when the status holds, not when
    it was last looked at.
    """
    merged: list[Condition] = []
    found = False
    for old in conditions:
        if old.type != new.type:
            merged.append(old)
        elif not found:
            found = True
            unchanged = old.status == new.status
            kept = {"last_transition_time": old.last_transition_time} if unchanged else {}
            merged.append(new.model_copy(update=kept))
    return tuple(merged) if found else (*merged, new)


def find_condition(conditions: Iterable[Condition], type_: str) -> Condition | None:
    """The condition of that type, if there is one."""
    return next((condition for condition in conditions if condition.type == type_), None)


MOST_MESSAGE = 2048
"""Bytes of a condition's message; a longer one is cut."""


def condition(
    type_: ConditionType,
    status: ConditionStatus,
    reason: str,
    message: str,
    *,
    now: datetime,
    generation: int | None = None,
) -> Condition:
    """A condition as of `now`, about the policy's `generation`. Without a message the reason's sentence stands in."""
    return Condition(
        type=type_,
        status=status,
        reason=reason,
        message=cut(one_line(message), MOST_MESSAGE) or REASONS[type_].get(reason, ""),
        last_transition_time=now,
        observed_generation=generation,
    )
