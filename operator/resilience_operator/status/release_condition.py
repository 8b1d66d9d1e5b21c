"""Computes ReleaseHealthy. It is never True while a rule that guards releases is in breach."""

from __future__ import annotations

from resilience_operator.api.conditions import ConditionStatus
from resilience_operator.decision.decide import Decision
from resilience_operator.decision.model.memory import FreezeMemory, Memory, Phase, ReleaseMemory, Verdict
from resilience_operator.decision.release.aftermath import DID_NOT_HELP
from resilience_operator.decision.release.freeze import FROZEN, active_freeze
from resilience_operator.decision.release.health import STUCK
from resilience_operator.decision.release.remediation import NOT_PROVEN
from resilience_operator.decision.reverts import PAUSED, blocked, describe_stop

State = tuple[ConditionStatus, str, str]
"""Status, reason, message."""


def release_state(decision: Decision, memory: Memory) -> State:
    """Return status, reason and message of ReleaseHealthy after `decision`."""
    release = memory.release
    assert release is not None
    return (
        _rolled_back(decision, release)
        or _paused(release)
        or _failing(decision, memory, release)
        or _in_progress(decision, memory, release)
    )


def _rolled_back(decision: Decision, release: ReleaseMemory) -> State | None:
    useless = next((n for n in decision.active.values() if n.reason == DID_NOT_HELP), None)
    if useless is not None:
        return "False", DID_NOT_HELP, useless.message
    if release.phase is Phase.ROLLING_BACK:
        return "False", "RollingBack", f"revision {release.rolled_from} is being rolled back to {release.revision}"
    if release.phase is Phase.ROLLED_BACK:
        return "False", "RolledBack", f"revision {release.rolled_from} was rolled back to {release.revision}"
    return None


def _paused(release: ReleaseMemory) -> State | None:
    """Return the state of a release that the operator paused."""
    if release.phase is not Phase.PAUSED or release.paused is None:
        return None
    revision = release.revision or "not seen yet"
    if release.rollback_limit_reached:
        why = f"revision {revision} was rolled back the maximum number of times: a person must decide"
        return "False", "HeldPaused", why
    if release.held_unmeasured:
        return "False", "HeldUnmeasured", f"revision {revision} is held paused until there are measurements"
    return "False", "Paused", f"revision {revision} is paused because of {', '.join(release.paused_rules)}"


def _failing(decision: Decision, memory: Memory, release: ReleaseMemory) -> State | None:
    """Return the state if a rule that guards releases is in breach, or pods of the release fail."""
    failing = [r for r in decision.rules if r.release_verdict is Verdict.BREACH]
    if release.phase in (Phase.PROGRESSING, Phase.BAKING):
        stuck = next((n for n in decision.active.values() if n.reason == STUCK), None)
        reverted = blocked(memory.reverts, PAUSED, decision.at)
        if reverted is not None and (failing or release.lifted_rules):
            return "False", "ChangeReverted", describe_stop(reverted, decision.target)
        if failing or stuck is not None:
            found = [*(r.description for r in failing), *([stuck.message] if stuck is not None else ())]
            return "False", "ReleaseFailing" if failing else STUCK, "; ".join(found)
    breached = [r for r in decision.rules if r.rule.guards_release and r.verdict is Verdict.BREACH] or failing
    if breached:
        return "False", "GuardBreached", "; ".join(r.description for r in breached)
    unproven = next((n for n in decision.active.values() if n.reason == NOT_PROVEN), None)
    return ("False", NOT_PROVEN, unproven.message) if unproven is not None else None


def _frozen(decision: Decision, memory: FreezeMemory) -> State | None:
    """Return the state of a target whose rollout is paused for a freeze."""
    active, _ = active_freeze(decision.policy, decision.at)
    if memory.held_since is None or active is None:
        return None
    waits = next((n for n in decision.active.values() if n.reason == "FreezeHolds"), None)
    if waits is not None:
        return "True", FROZEN, waits.message
    return "True", FROZEN, f"a freeze ({active.cause}) is in effect until {active.end}: a new template waits until then"


def _in_progress(decision: Decision, memory: Memory, release: ReleaseMemory) -> State:
    revision = release.revision or "not seen yet"
    if release.phase is Phase.PAUSED:
        why = f"someone paused the rollout of revision {revision}; the operator does not change it"
        return "Unknown", "ManualPause", why
    if release.phase in (Phase.PROGRESSING, Phase.BAKING):
        if any(r.release_verdict is Verdict.UNKNOWN for r in decision.rules):
            return "Unknown", "NotMeasured", f"revision {revision} cannot be judged: measurements are missing"
        if release.phase is Phase.BAKING:
            return "True", "Baking", f"revision {revision} has reached all pods and is in its bake"
        return "True", "Progressing", f"revision {revision} is being rolled out"
    if memory.freeze is not None and (held := _frozen(decision, memory.freeze)) is not None:
        return held
    what = "is the last good revision" if release.good == release.revision else "runs on all pods"
    if decision.target.paused and release.paused is None:
        return "True", "ManualPause", f"revision {revision} {what}; someone paused the rollout"
    return "True", "NoRelease", f"revision {revision} {what}"
