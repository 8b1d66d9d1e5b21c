"""Commands that a message gives to a person: each can be pasted as it is."""

from __future__ import annotations

from resilience_operator.decision.model.policy import Policy
from resilience_operator.decision.model.target import TargetState


def resume_command(target: TargetState) -> str:
    """Return the command that ends a pause. `kubectl rollout resume` knows Deployments only."""
    if target.kind == "StatefulSet":
        patch = '{"spec":{"updateStrategy":{"rollingUpdate":{"partition":0}}}}'
        return f"kubectl -n {target.namespace} patch statefulset {target.name} --type merge -p '{patch}'"
    return f"kubectl -n {target.namespace} rollout resume {target.kind.lower()}/{target.name}"


def undo_command(target: TargetState, number: int | None = None) -> str:
    """Return the commands that restore revision `number`, or the previous one.

    kubectl refuses to undo a paused Deployment.
    """
    to = "" if number is None else f" --to-revision={number}"
    undo = f"kubectl -n {target.namespace} rollout undo {target.kind.lower()}/{target.name}{to}"
    return f"{resume_command(target)} && {undo}" if target.paused else undo


def release_command(policy: Policy, revision: str | None) -> str:
    """Return the command that ends the quarantine of a revision."""
    return f"kubectl resilience release {policy.name} {revision} -n {policy.namespace}"
