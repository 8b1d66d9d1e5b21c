"""Decides when the content of a revision is kept: once the revision has served its bake."""

from __future__ import annotations

from resilience_operator.api.quantities import format_duration
from resilience_operator.api.spec import Mode
from resilience_operator.decision.configuration.content import NOTHING
from resilience_operator.decision.configuration.names import content_of
from resilience_operator.decision.model.commands import Command, Notice, Verb
from resilience_operator.decision.model.memory import Phase, ReleaseMemory
from resilience_operator.decision.model.policy import Policy
from resilience_operator.decision.model.record import replace
from resilience_operator.decision.model.target import TargetState

TOO_LARGE = "ConfigurationTooLarge"
WAITS = "ConfigurationWaits"

MIB = 1024 * 1024

SYNC = 90.0
"""Seconds after which the kubelet has updated mounted files: `syncFrequency` is 60 s, with jitter up to 90 s."""


def plan_keep(
    release: ReleaseMemory, policy: Policy, target: TargetState
) -> tuple[ReleaseMemory, Command | None, tuple[Notice, ...]]:
    """Return the release, the command that keeps what its revision reads, and a notice if that is not possible."""
    configuration, revision = target.configuration, release.revision
    if configuration is None or revision is None or revision != target.revision:
        return release, None, ()
    content = content_of(revision)
    if content in configuration.kept:
        return (release if not release.kept_content else replace(release, kept_content="")), None, ()
    served = release.good == revision or any(s.revision == revision for s in release.served)
    if not served or content in (NOTHING, release.kept_content) or policy.mode is Mode.DRY_RUN:
        return release, None, ()
    if content != configuration.digest or not configuration.complete:
        return release, None, ()
    if configuration.too_large:
        return release, None, (_too_large(revision, configuration.too_large),)
    needed = [s.revision for s in release.served] + ([release.good] if release.good is not None else [])
    command = Command(
        Verb.KEEP_CONFIGURATION,
        "ReleaseGood",
        f"kept the configuration of revision {revision} for a rollback: {', '.join(configuration.objects)}",
        to=revision,
        arguments={
            "content": content,
            "policy": policy.name,
            "uid": policy.uid,
            "needed": [content_of(name) for name in needed if content_of(name)],
            "secrets": bool(policy.release.configuration and policy.release.configuration.secrets),
        },
    )
    return release, command, ()


def in_effect(release: ReleaseMemory, policy: Policy, target: TargetState, now: float) -> bool:
    """Return whether the pods have read a change of configuration alone.

    Mounted files reach them within `SYNC`. What containers read at their start reaches only pods that were created
    after the change.
    """
    change = release.configuration
    if change is None:
        return True
    if now - change.since < min(SYNC, policy.release.bake):
        return False
    if not change.at_start:
        return True
    return target.pods is not None and all(p.created >= change.since for p in target.pods if not p.terminating)


def waiting(release: ReleaseMemory, policy: Policy, target: TargetState, now: float) -> tuple[Notice, ...]:
    """Return a notice while pods do not read a change of configuration because they have not restarted."""
    change = release.configuration
    if change is None or not change.at_start or release.phase is not Phase.PROGRESSING or target.configuration is None:
        return ()
    if now - change.since < min(SYNC, policy.release.bake) or in_effect(release, policy, target, now):
        return ()
    names = ", ".join(sorted(target.configuration.at_start))
    age = format_duration(round(now - change.since))
    notice = Notice(
        f"configuration-waits/{release.revision}",
        WAITS,
        f"configuration of revision {release.revision} changed {age} ago, and older pods still run: containers read "
        f"{names} only when they start. The bake begins after the pods have restarted, for example with "
        f"`kubectl rollout restart {target.kind.lower()}/{target.name} -n {target.namespace}`",
    )
    return (notice,)


def _too_large(revision: str, size: int) -> Notice:
    return Notice(
        f"configuration-too-large/{revision}",
        TOO_LARGE,
        f"the configuration of revision {revision} has {size} bytes, and a copy may have at most {MIB}: it is not "
        "kept, so no rollback can restore it. Split the ConfigMap, or mount large files from an image",
        warning=True,
    )
