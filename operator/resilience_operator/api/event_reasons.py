"""The reasons of Events that the operator writes on a policy and its target, for docs/events.md.

Reasons are a stable interface for scripts and alerts: new ones are added, and none is renamed.
"""

from collections.abc import Mapping
from typing import NamedTuple


class EventReason(NamedTuple):
    """What an Event means, and what to do about it. warning: its type is Warning."""

    meaning: str
    to_do: str
    warning: bool = False


_NOTHING = "Nothing."
_CHECK_RELEASE = "Fix the version at its source, then apply the fix."

EVENT_REASONS: Mapping[str, EventReason] = {
    "ScaledUp": EventReason("A rule asked for more pods, and the operator added them.", _NOTHING),
    "ScaledDown": EventReason("The signals were stable, and pods that are not needed were removed.", _NOTHING),
    "MinimumChanged": EventReason(
        "Someone else set minReplicas of the HPA; that number is the lower bound from now on.", _NOTHING
    ),
    "MinimumRestored": EventReason("No policy guards the HPA any more; its minReplicas is restored.", _NOTHING),
    "RolloutPaused": EventReason("The operator paused the rollout of a failing release.", _CHECK_RELEASE, True),
    "RolloutResumed": EventReason("The operator lifted its own pause.", _NOTHING),
    "RolledBack": EventReason("The last good pod template was restored.", _CHECK_RELEASE, True),
    "ConfigurationKept": EventReason(
        "A revision completed its bake, and a copy of the configuration that it reads was made.", _NOTHING
    ),
    "ConfigurationWaits": EventReason(
        "Configuration changed that containers read only when they start, and the pods have not restarted.",
        "Restart the pods with the command that the message gives.",
    ),
    "ConfigurationTooLarge": EventReason(
        "The configuration of a revision is larger than 1 MiB, so there is no copy that a rollback can restore.",
        "Split the ConfigMap, or mount large files from an image.",
        True,
    ),
    "ConfigurationUnknown": EventReason(
        "The release fails, and what the good revision read is not kept, so nothing is restored.",
        "Restore the ConfigMaps by hand, or apply a fix.",
        True,
    ),
    "RolloutFrozen": EventReason(
        "A freeze has begun: the rollout is paused, so that a new template waits.",
        "To release during the freeze, run `kubectl rollout resume`.",
    ),
    "FreezeHolds": EventReason(
        "A new template arrived during a freeze and waits for its end.",
        "To release it now, run `kubectl rollout resume`.",
    ),
    "FreezeLifted": EventReason("A person resumed the rollout, which ends the freeze for this target.", _NOTHING),
    "FreezeIgnored": EventReason(
        "A release begins during a freeze and does not wait; the message says why.", "See docs/freezes.md.", True
    ),
    "ApprovalNeeded": EventReason(
        "A rollback waits for a person's approval.",
        "Run `kubectl resilience approve` or `kubectl resilience deny`.",
        True,
    ),
    "ApprovalMissing": EventReason(
        "Nobody has answered in time, and the policy says to wait on.",
        "Run `kubectl resilience approve` or `kubectl resilience deny`.",
        True,
    ),
    "RollbackDenied": EventReason("A person denied a rollback; the revision is not rolled back.", _NOTHING),
    "ReconciliationHeld": EventReason(
        "Flux has left a rolled-back target as it is for a day or more, because its source has not changed.",
        "Revert or fix the version in git.",
        True,
    ),
    "ReconciliationResumed": EventReason("Flux may apply the target again; the message says why.", _NOTHING),
    "PluginRun": EventReason("An action of a plugin was run.", _NOTHING),
    "Alert": EventReason(
        "A rule with the action alert is in breach.", "Check the signal that the message names.", True
    ),
    "ActionFailed": EventReason(
        "An action was refused or failed. It is retried at each evaluation and reported once per hour.",
        "The message has the error of the API server or of the plugin.",
        True,
    ),
    "PolicyPaused": EventReason("Someone paused the policy.", "Resume it with `kubectl resilience resume`."),
    "PolicyResumed": EventReason("The pause of the policy was lifted or has expired.", _NOTHING),
    "ReplicasChanged": EventReason("A GitOps tool, pipeline or controller changed the replicas.", _NOTHING),
    "ManualScale": EventReason(
        "A person changed the replicas; the operator does not scale down below that number.",
        "To end this, scale the target to replicas.min.",
    ),
    "ReplicasReverted": EventReason(
        "Another writer undid the operator's scaling.", "Leave spec.replicas out of what that writer manages.", True
    ),
    "MinimumReverted": EventReason(
        "Another writer undid the operator's change of minReplicas.",
        "Leave minReplicas of the HPA out of what that writer manages.",
        True,
    ),
    "ChangeReverted": EventReason(
        "Another writer undid the operator's change twice; the operator stops for a while.",
        "Configure that writer as the message says.",
        True,
    ),
    "ManagedByKEDA": EventReason(
        "KEDA owns the HPA of the target and would overwrite every change.", "Change the ScaledObject.", True
    ),
    "AtMaximum": EventReason(
        "A rule asks for more pods than replicas.max allows.", "Raise replicas.max, or find the bottleneck.", True
    ),
    "ScalingDoesNotHelp": EventReason(
        "Several scale-ups did not lower the latency, so the rule adds no more pods.",
        "Look for the cause outside the pods: a dependency, a lock, a quota.",
        True,
    ),
    "ReleaseGood": EventReason("The revision completed its bake and is now the last good one.", _NOTHING),
    "BakeUnclean": EventReason(
        "The bake is over, but a rule that guards releases is not Ok, so the revision is not good.",
        "Check the signals of that rule.",
        True,
    ),
    "BakeUnmeasured": EventReason(
        "The signals were not measured for a whole bake, so the revision is not good.",
        "Check the condition MetricsAvailable.",
        True,
    ),
    "BreachNotProven": EventReason(
        "The new and the old revision are in breach, or the proof is not sufficient. Nothing is rolled back.",
        "Check whether the release or a dependency is the cause.",
        True,
    ),
    "GuardBreached": EventReason(
        "A rule that guards releases is in breach, and nothing is paused or rolled back for it.",
        "Check the signal; the message says why the release is not blamed.",
        True,
    ),
    "ReleaseNotJudged": EventReason(
        "Signals of the release are Unknown, so it is neither accepted nor rolled back.",
        "Check the condition MetricsAvailable; with little traffic, see docs/traffic.md.",
        True,
    ),
    "ReleaseStuck": EventReason("Pods of the new revision fail.", "The message names the pods and the cause.", True),
    "ManualPause": EventReason("A person paused the rollout; the operator leaves it paused.", _NOTHING),
    "HandsOff": EventReason(
        "A person overrode the operator on this revision; it is observed, and not paused or rolled back.", _NOTHING
    ),
    "PauseLifted": EventReason(
        "A GitOps tool or pipeline lifted the operator's pause; the revision stays on trial.",
        "Configure that writer to leave spec.paused alone.",
        True,
    ),
    "StillPaused": EventReason(
        "A release that the operator paused waits for a person; repeated after 1, 2, 4, 8 … hours.",
        "Run `kubectl rollout resume` or `kubectl rollout undo`.",
        True,
    ),
    "HeldPaused": EventReason(
        "A quarantined revision is applied again and again; the rollout is held paused.",
        "Fix the version at its source. If it is right, run `kubectl resilience release`.",
        True,
    ),
    "HeldUnmeasured": EventReason(
        "A quarantined revision was applied again while nothing is measured; it is held paused until it can be judged.",
        "Check the condition MetricsAvailable.",
        True,
    ),
    "QuarantineEnded": EventReason("The revision may be released again.", _NOTHING),
    "ReleaseOrderUnreadable": EventReason(
        "The annotation that orders to end a quarantine cannot be read, so it has no effect.",
        "Run the command that the message gives.",
        True,
    ),
    "RollbackStuck": EventReason(
        "The good template was restored, but its pods are not ready within the progress deadline.",
        "Check the pods.",
        True,
    ),
    "RollbackBlocked": EventReason(
        "The controller does not replace pods of the failed revision.", "Delete the pods that the message names.", True
    ),
    "RollbackDidNotHelp": EventReason(
        "The restored revision breaches the same rule, so the release was not the cause.",
        "Look for a shared cause: a dependency, configuration, load.",
        True,
    ),
    "RestoredRevisionFails": EventReason(
        "The restored revision, which was never measured to be good, is in breach too; it is judged like a release.",
        "No action needed: it is rolled back to the last good revision if the breach is proven.",
        True,
    ),
    "RollbackTooFar": EventReason(
        "The newest good revision is further back than rollback.maxRevisions allows.",
        "Roll back by hand, or apply a fix.",
        True,
    ),
    "NoKnownGoodRevision": EventReason(
        "The release fails, and no revision has completed its bake.",
        "Roll back by hand with `kubectl rollout undo`.",
        True,
    ),
    "AlreadyLastGood": EventReason(
        "The failing revision is itself the last good one, so there is nothing to restore.",
        "Look for a cause outside the release.",
        True,
    ),
    "GoodRevisionQuarantined": EventReason(
        "The last good revision was itself rolled back or has failed since.", "Apply a version that works.", True
    ),
    "GoodRevisionGone": EventReason(
        "The cluster no longer keeps the last good revision.",
        "Increase spec.revisionHistoryLimit of the workload.",
        True,
    ),
    "GoodRevisionChanged": EventReason(
        "The stored template of the good revision is not the one that ran, so it is not restored.",
        "Find out who changed the object that the message names.",
        True,
    ),
}
"""By reason."""
