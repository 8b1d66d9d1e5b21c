"""Describes the target and its release in sentences."""

from __future__ import annotations

from collections.abc import Iterator

from resilience_operator.decision.model.memory import Phase
from resilience_operator.explain.context import ExplainContext
from resilience_operator.explain.formatting import pods


def describe_target(facts: ExplainContext) -> Iterator[str]:
    """Yield sentences about the target and the release."""
    name = f"{facts.target_kind} {facts.target_name}"
    live, release = facts.live, facts.release
    if live is not None:
        ready = "all ready" if live.ready >= live.replicas else f"{live.ready} ready"
        yield f"{name} has {pods(live.replicas)}, {ready}"
    elif facts.replicas is not None:
        yield f"{name} had {pods(facts.replicas)} at the last evaluation"
    if release is None:
        return
    good = f", the last good revision is {release.good}" if release.good not in (None, release.revision) else ""
    since = f"for {facts.ago(release.since)}"
    match release.phase:
        case Phase.STABLE if release.good == release.revision:
            yield f"revision {release.revision} is the last good revision; no release is in progress"
        case Phase.BAKING if release.bake_started is not None:
            due = facts.until(release.bake_started + facts.policy.release.bake)
            yield f"revision {release.revision} has reached all pods and is in its bake, which ends {due}{good}"
        case Phase.ROLLING_BACK:
            yield f"revision {release.rolled_from} is being rolled back to {release.revision}, {since}"
        case Phase.ROLLED_BACK:
            yield f"revision {release.rolled_from} was rolled back to {release.revision}, on all pods {since}"
        case _:
            yield f"revision {release.revision} has been {release.phase.value} {since}{good}"
    if release.unmeasured is not None:
        yield f"the bake is on hold: its signals have not been measured for {facts.ago(release.unmeasured)}"
    if release.good is None:
        yield "no revision has completed its bake yet, so there is none to roll back to"
