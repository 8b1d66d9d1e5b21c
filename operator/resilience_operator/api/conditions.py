"""The conditions of a policy: their types and reasons, and how to merge one into the list.

Reasons are a stable interface for scripts and alerts: new ones are added, and none is renamed.
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
        "Accepted": "The policy is valid, its target exists, and it is being evaluated.",
        "DryRun": "The policy is evaluated and its decisions are recorded, but nothing is changed.",
        "Suspended": "spec.mode is Suspended: the policy is not evaluated and no action is taken.",
        "PausedByHand": "Someone paused the policy; the message says who, why and until when.",
        "PauseUnreadable": "Someone paused the policy until a time that cannot be parsed; it stays paused.",
        "InvalidSpec": "The policy is invalid; the message says what to change.",
        "PolicyUnreadable": "The policy exists but cannot be decoded; the message names the field.",
        "TargetUnreadable": "The workload or an HPA exists but cannot be decoded; no action is taken until it can.",
        "TargetNotFound": "The target does not exist in the policy's namespace.",
        "TargetConflict": "An older policy has the same target; the older one acts, and this one does not.",
        "UnsupportedTarget": "The target's kind does not support an action of a rule.",
        "UnknownSignal": "A rule uses a signal that is neither built in nor declared.",
        "PresetNotFound": "The preset family is unknown, or has no such signal.",
        "MetricSourceNotFound": "The operator's configuration has no metric source with this name.",
        "PluginNotFound": "A plugin that the policy names is not installed.",
        "ConfigurationForbidden": "The operator may not read the configuration that the policy includes.",
        "Forbidden": "The API server refused to let the operator read or change the target; the message says why.",
        "ActionFailed": "An action was rejected or failed; it is retried.",
        "StatusUnreadable": "The status could not be read and was replaced; timers and cooldowns restart.",
        "EvaluationFailed": "The evaluation failed unexpectedly; it is retried at the next interval.",
    },
    ConditionType.METRICS_AVAILABLE: {
        "AllSignalsMeasured": "Every signal that a rule reads has a value.",
        "NotObserved": "A rule uses a signal that was not queried in this evaluation.",
        "NotMeasuredYet": "The policy is new and has no measurements yet.",
        "NoData": "A query returned no series for this target.",
        "NoTraffic": "The series exist, but no request was counted in the window.",
        "StatusNotReadable": "Requests are counted, but without a status that the preset can read.",
        "SeveralClusters": "The series of the target come from several clusters.",
        "CpuNotCovered": "Most of the CPU is used by a container without a CPU request.",
        "NotANumber": "A value is NaN or infinite.",
        "Stale": "The newest sample is too old, or its timestamp is wrong.",
        "TooFewSamples": "A value is based on fewer requests than minSamples.",
        "AmbiguousResult": "A query returned several series instead of one.",
        "SourceUnreachable": "The metric source is unreachable or unavailable.",
        "NameNotResolved": "The metric source's host name cannot be resolved.",
        "SourceTimedOut": "The metric source did not respond in time.",
        "SourceBusy": "A custom query waited too long for a place at the metric source, behind other custom queries.",
        "QueryBudgetSpent": "The custom queries of the namespace have used their query seconds a minute of the metric "
        "source; they are sent less often.",
        "SourceRefused": "The metric source rejected the credentials or permissions of the operator.",
        "SourceNotFound": "The operator's configuration has no metric source with this name.",
        "PresetNotFound": "The preset family is unknown, or has no such signal.",
        "BadAnswer": "The response is not a valid Prometheus response, is truncated, or is too large.",
        "BadQuery": "The metric source, or the operator's check, rejected the query.",
        "PartialAnswer": "The metric source reported that some data is missing.",
        "InternalError": "The operator failed internally on this signal; its log has the traceback.",
        "NodesNotWatched": "The operator watches single namespaces and not nodes, so zones are unknown.",
        "NodesNotListed": "Nodes cannot be listed or watched, so lost zones are unknown.",
        "NoZones": "No node on which the pods could run has a zone label.",
        "CircuitOpen": (
            "The circuit breaker of the metric source is open after repeated failures or slow responses; the "
            "message has the last error."
        ),
    },
    ConditionType.RELEASE_HEALTHY: {
        "NoRelease": "No release is in progress: all pods run a revision that completed its bake.",
        "Progressing": "A release is in progress, without a breach attributed to it.",
        "Frozen": "A freeze is in effect: the rollout is paused, and a new template waits until it ends.",
        "Baking": "A release has reached all pods and is in its bake.",
        "ReleaseFailing": "Only the new revision breaches a rule.",
        "ReleaseStuck": "Pods of the new revision fail; the message says which ones and why.",
        "Paused": "The operator paused the release.",
        "ManualPause": "A person paused the rollout; the operator neither resumes it nor rolls it back.",
        "GuardBreached": "A rule that guards releases is in breach, and nothing is paused or rolled back for it.",
        "BreachNotProven": "The new revision breaches a rule since its release, and may not be the cause.",
        "RollbackDidNotHelp": "The restored revision fails as well; the quarantine of the other one is lifted.",
        "HeldUnmeasured": "A quarantined revision was applied again without measurements; it is held paused.",
        "ChangeReverted": "Another writer lifted the operator's pause twice; the operator stops for a while.",
        "RollingBack": "The last good revision is being restored.",
        "RolledBack": "The release was rolled back and its revision is quarantined.",
        "HeldPaused": "A quarantined revision was applied again; the rollout is held paused until a person decides.",
        "NoKnownGoodRevision": "The release is failing, and there is no known good revision to restore.",
        "NotMeasured": "A release is in progress and cannot be judged because signals are Unknown.",
    },
    ConditionType.SCALING: {
        "WithinBounds": "The replicas are within their bounds, and no rule requests more than allowed.",
        "ScaledUp": "Pods were added; the policy scales down when signals are stable.",
        "ScalingDown": "The policy is scaling down.",
        "AtMaximum": "A rule requests more pods, but replicas.max is reached.",
        "PodsNotCreated": "Pods cannot be created, for example because of a quota; the message has the cause.",
        "PodsUnschedulable": "No node fits the missing pods; the message has the scheduler's words.",
        "NothingScales": "No rule of the policy scales.",
        "ManualScale": "A person changed the replicas; the operator does not undo it.",
        "ChangeReverted": "Another writer reverted the operator's size twice; the operator stops for a while.",
        "ManagedByKEDA": "KEDA manages the HPA and overwrites it: change the ScaledObject.",
        "FallbackHolds": "Metrics are unavailable: the replicas are held, or raised to fallback.replicas.",
        "ScaleFailed": "The API server refused to scale; the message says why.",
    },
}
"""By type: each stable reason and what it means."""


def merge_condition(conditions: Iterable[Condition], new: Condition) -> tuple[Condition, ...]:
    """Replace the condition of the same type by `new`, or append it.

    lastTransitionTime is kept while the status is unchanged: it is the time of the last change, not of the last
    evaluation.
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
"""Maximum bytes of a condition's message; a longer one is truncated."""


def condition(
    type_: ConditionType,
    status: ConditionStatus,
    reason: str,
    message: str,
    *,
    now: datetime,
    generation: int | None = None,
) -> Condition:
    """Create a condition at `now` for the policy's `generation`. The default message is the reason's sentence."""
    return Condition(
        type=type_,
        status=status,
        reason=reason,
        message=cut(one_line(message), MOST_MESSAGE) or REASONS[type_].get(reason, ""),
        last_transition_time=now,
        observed_generation=generation,
    )
