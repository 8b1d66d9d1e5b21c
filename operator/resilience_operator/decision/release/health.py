"""The health of a release's pods as evidence: crash loops, images, readiness, scheduling. It needs no metric.

A failure counts against the release if the old revision does not fail alike, and if at least two pods or half of the
new ones show it: a single pod of many is more likely on a bad node. What counts is a finding like that of a rule. A
failure that may have another cause is reported, and nothing more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, lgamma, log, log1p

from resilience_operator.decision.model.commands import Notice
from resilience_operator.decision.model.memory import HealthMemory, Phase, ReleaseMemory, Verdict
from resilience_operator.decision.model.policy import POD_HEALTH, Policy
from resilience_operator.decision.model.record import replace
from resilience_operator.decision.model.target import Pod, TargetState
from resilience_operator.decision.release.lifecycle import ANALYSED_PHASES, rollback_is_late
from resilience_operator.decision.release.pod_failures import (
    CRASH_WINDOW,
    CRASHES,
    Cause,
    PodFailure,
    describe_failures,
    failure_of,
    is_reported,
    refuses_any_revision,
)
from resilience_operator.decision.release.remediation import ReleaseFinding

STUCK = "ReleaseStuck"
"""Reason of the notice that pods of a release fail."""

PAUSE_AT = 0.5
"""Fraction of the progress deadline after which pods that never became ready pause a release."""

STARTUP_FACTOR = 1.5
"""A pod is late only after this multiple of the learned start-up time."""

ALIKE = 0.5
"""The old revision fails alike if the share of its failing pods is at least this fraction of the new one's."""

RECENT_CRASHES = 3
"""Restarts that an old pod may have more than the new ones, if it began to crash at the same time."""

AS_BEFORE = "the old revision restarted as often"

MOST_NAMED = 20
"""Pods named in a message: an Event has 1024 characters."""

RESTARTS_ALIKE = 0.001
"""Restarts of the new revision are no news if as many would happen at the old one's rate with this probability."""


SERVED = 60.0
"""Seconds for which a container must have run, at least, for its end to be the crash of one that served."""

MOST_STARTUP = 3600.0
"""Seconds. A pod that became ready later was probably unready in between, unseen."""


@dataclass(slots=True)
class PodHealth:
    """What the pods show about the release.

    memory: to keep with the release. findings: for remediation. serving: no pod of the release fails or is missing.
    wake: when the next limit is due.
    """

    memory: HealthMemory | None
    findings: tuple[ReleaseFinding, ...] = ()
    notices: tuple[Notice, ...] = ()
    serving: bool = True
    wake: float | None = None
    crashed_at: float | None = None


@dataclass(slots=True)
class _Evidence:
    """reported: failures to report. pausing, failing: those that count for a pause, and for a rollback.

    alike: why they do not count; empty if they do. due: when the next one may count. crashed_at: as in `PodHealth`.
    """

    reported: list[PodFailure]
    pausing: list[PodFailure]
    failing: list[PodFailure]
    alike: str
    total: int
    due: float | None
    crashed_at: float | None = None


def assess_pods(
    release: ReleaseMemory, policy: Policy, target: TargetState, startup_seconds: float | None, now: float
) -> PodHealth:
    """Judge the pods of the release. startup_seconds: how long the target's pods take to become ready, if known."""
    if release.phase is Phase.ROLLING_BACK:
        return PodHealth(None, notices=_rollback_blocked(release, policy, target, now))
    if release.phase not in ANALYSED_PHASES or target.revision != release.revision:
        return PodHealth(None)
    complete = target.rolled_out and target.ready >= target.replicas
    if target.pods is None:
        if complete:
            return _complete(release, policy, now)
        return _without_pods(release, policy, target, now)
    before = release.health or HealthMemory()
    new = [p for p in target.pods if p.revision == release.revision and not p.terminating]
    old = [p for p in target.pods if p.revision != release.revision and not p.terminating]
    before = _remember_old(before, old, now)
    patience = _patience(target, startup_seconds)
    evidence = _weigh(before, new, old, target, startup_seconds, now)
    refused = target.create_failure if not complete else ""
    stuck = bool(evidence.reported or refused)
    memory = replace(before, stuck_since=_since(before.stuck_since, stuck, now))
    pausing, failing = bool(evidence.pausing), bool(evidence.failing)
    cause = (
        describe_failures(evidence.failing or evidence.pausing or evidence.reported, evidence.total)
        if (evidence.reported)
        else ""
    )
    if refused and not refuses_any_revision(refused):
        assert memory.stuck_since is not None
        pausing = pausing or now - memory.stuck_since >= patience
        failing = failing or now - memory.stuck_since >= target.progress_deadline
    cause = "; ".join(filter(None, (cause, f"pods cannot be created: {refused}" if refused else "")))
    memory = replace(
        memory,
        pausing_since=_since(before.pausing_since, pausing or failing, now),
        failing_since=_since(before.failing_since, failing, now),
        ok_since=None if stuck else before.ok_since or now,
    )
    message = f"pods of revision {release.revision} fail: {cause}"
    if failing or pausing:
        findings = _finding(policy, Verdict.BREACH, memory, release.since, message)
    else:
        findings = _finding(policy, Verdict.OK, memory, release.since)
    notices = _stuck(release, target, evidence, cause) if stuck else ()
    serving = not stuck and complete
    return PodHealth(memory, findings, notices, serving, wake=evidence.due, crashed_at=evidence.crashed_at)


def _without_pods(release: ReleaseMemory, policy: Policy, target: TargetState, now: float) -> PodHealth:
    """The health if the pods could not be listed: nothing is proven, and only the controller's words are reported."""
    before, memory = release.health, release.health
    notices: tuple[Notice, ...] = ()
    late = target.progress_deadline_exceeded and now - release.since >= policy.interval
    if target.create_failure or late:
        cause = target.create_failure or "the rollout exceeded its progress deadline"
        notices = (_notice(release, "controller", f"revision {release.revision} does not make progress: {cause}"),)
    # A pause of the operator's own for failing pods stays until they are seen to serve.
    failing = (before is not None and before.pausing_since is not None) or POD_HEALTH in release.paused_rules
    findings = _finding(policy, Verdict.UNKNOWN, memory, release.since) if failing else ()
    return PodHealth(memory, findings, notices, serving=False)


def _complete(release: ReleaseMemory, policy: Policy, now: float) -> PodHealth:
    """The health of a release that is complete, with nothing unusual for which its pods would be listed."""
    memory = _recovered(release.health, now)
    return PodHealth(memory, _finding(policy, Verdict.OK, memory, release.since))


def _recovered(before: HealthMemory | None, now: float) -> HealthMemory | None:
    if before is None or (before.stuck_since is None and before.ok_since is not None):
        return before
    return replace(before, stuck_since=None, pausing_since=None, failing_since=None, ok_since=now)


def _since(before: float | None, holds: bool, now: float) -> float | None:
    """Since when a state holds. A moment in the future counts as now."""
    if not holds:
        return None
    return now if before is None else min(before, now)


def _patience(target: TargetState, startup_seconds: float | None) -> float:
    """Seconds after which a pod that is not ready counts: half the progress deadline, and not before its start-up."""
    half = PAUSE_AT * target.progress_deadline
    if startup_seconds is None:
        return half
    return min(max(half, STARTUP_FACTOR * startup_seconds), target.progress_deadline)


def _weigh(
    before: HealthMemory,
    new: Sequence[Pod],
    old: Sequence[Pod],
    target: TargetState,
    startup_seconds: float | None,
    now: float,
) -> _Evidence:
    patience, deadline = _patience(target, startup_seconds), target.progress_deadline
    found = [f for pod in new if (f := failure_of(pod, now)) is not None]
    slow = _slow_crashes(before, new, old, found, startup_seconds or 0.0, now)
    found += [f for f in slow if f.pod.restarts >= CRASHES]
    once = [f for f in slow if f.pod.restarts < CRASHES]
    reported = [f for f in found if is_reported(f, now, patience)] + once
    stuck_since = before.stuck_since if before.stuck_since is not None else now
    due: list[float] = []

    def lasted(failure: PodFailure, limit: float) -> bool:
        since = failure.since if failure.since is not None and failure.hold is None else stuck_since
        least = limit if failure.hold is None else failure.hold
        if now - since >= least:
            return True
        due.append(since + least)
        return False

    pausing = [f for f in found if lasted(f, patience)]
    failing = [f for f in pausing if lasted(f, deadline)]
    alike = _alike(before, pausing or reported, new, old, now) if pausing or reported else ""
    if alike == AS_BEFORE:
        reported = []
    if alike or not _enough(pausing, len(new)):
        pausing, failing = [], []
    elif not _enough(failing, len(new)):
        failing = []
    crashed_at = min(now, max(f.since or now for f in slow)) if slow and not alike else None
    wake = min((t for t in due if t > now), default=None)
    return _Evidence(reported, pausing, failing, alike, len(new), wake, crashed_at)


def _slow_crashes(
    before: HealthMemory,
    new: Sequence[Pod],
    old: Sequence[Pod],
    found: Sequence[PodFailure],
    startup: float,
    now: float,
) -> list[PodFailure]:
    """Return pods that crashed lately after they had served, too rarely for a crash loop, like those with a leak.

    They count if enough pods crash, and more often than those of the old revision. One crash each may have a shared
    cause, so it is reported and the bake begins anew. From the second one on, it is a failure like a crash loop.
    """
    ran = max(SERVED, STARTUP_FACTOR * startup)
    crashed = [
        p
        for p in new
        if p.restarts
        and (p.ready or p.started_serving is not None)
        and p.last_terminated_at is not None
        and now - p.last_terminated_at < CRASH_WINDOW
        and p.last_terminated_at - p.created >= ran * p.restarts
    ]
    looping = {f.pod.name for f in found if f.cause is Cause.CRASHING}
    slow = [p for p in crashed if p.name not in looping]
    if not slow or not _enough(crashed, len(new)) or not _restarts_more(before, new, old, now):
        return []
    return [PodFailure(p, Cause.CRASHING, p.last_terminated or "Error", "", p.last_terminated_at, 0.0) for p in slow]


def _restarts_more(before: HealthMemory, new: Sequence[Pod], old: Sequence[Pod], now: float) -> bool:
    """Whether the new revision restarts more often than the old one, whose pods were seen."""
    chance = _chance_of_restarts(before, new, old, now)
    return chance is not None and chance < RESTARTS_ALIKE


def _enough(failures: Sequence[object], pods: int) -> bool:
    """Whether enough pods of the new revision fail: two, or half of them."""
    return len(failures) >= 2 or 0 < len(failures) * 2 >= pods


def _alike(
    before: HealthMemory, failures: Sequence[PodFailure], new: Sequence[Pod], old: Sequence[Pod], now: float
) -> str:
    """Return how the old revision fails too, which is no fault of the release; empty if it does not."""
    failing = [f for pod in old if (f := failure_of(pod, now)) is not None]
    causes = {f.cause for f in failures}
    # An old pod with many more restarts has been broken for longer.
    most = max(f.pod.restarts for f in failures) + RECENT_CRASHES
    same = [
        f
        for f in failing
        if f.cause in causes
        and f.cause is not Cause.NOT_READY
        and (f.cause is not Cause.CRASHING or f.pod.restarts <= most)
    ]
    share = len(failing) / len(old) if old else 0.0
    if same or (failing and share >= ALIKE * len(failures) / len(new)):
        return f"pods of the old revision fail alike: {describe_failures(same or failing, len(old))}"
    if causes == {Cause.CRASHING} and _restarts_are_no_news(before, new, old, now):
        return AS_BEFORE
    return ""


def _restarts_are_no_news(before: HealthMemory, new: Sequence[Pod], old: Sequence[Pod], now: float) -> bool:
    """Whether the old revision restarted, and as often."""
    if not _old_restarts(before, old):
        return False
    chance = _chance_of_restarts(before, new, old, now)
    return chance is not None and chance >= RESTARTS_ALIKE


def _chance_of_restarts(before: HealthMemory, new: Sequence[Pod], old: Sequence[Pod], now: float) -> float | None:
    """Return the probability of as many restarts of the new revision at the old one's rate; None if none was seen.

    A one-sided test of two Poisson rates, conditional on their sum.
    """
    seconds, exposure = max(before.old_seconds, _seconds(old, now)), _seconds(new, now)
    if seconds <= 0 or exposure <= 0:
        return None
    ours = sum(p.restarts for p in new)
    return _binomial_tail(ours, ours + _old_restarts(before, old), exposure / (exposure + seconds))


def _old_restarts(before: HealthMemory, old: Sequence[Pod]) -> int:
    return max(before.old_restarts, sum(p.restarts for p in old))


def _binomial_tail(at_least: int, trials: int, p: float) -> float:
    """P(X ≥ at_least) of a binomial distribution. Sums the shorter side; `trials` are a few thousand at most."""
    if at_least <= 0 or p >= 1.0:
        return 1.0
    if p <= 0.0:
        return 0.0
    if at_least <= p * trials:
        return 1.0  # not more than expected
    total, last = 0.0, min(trials, at_least + 1000)
    for k in range(at_least, last + 1):
        total += exp(
            lgamma(trials + 1) - lgamma(k + 1) - lgamma(trials - k + 1) + k * log(p) + (trials - k) * log1p(-p)
        )
    return total


def _seconds(pods: Sequence[Pod], now: float) -> float:
    return sum(max(0.0, now - p.created) for p in pods)


def _remember_old(before: HealthMemory, old: Sequence[Pod], now: float) -> HealthMemory:
    """Keep how often the old revision restarted: its pods are gone when the bake begins."""
    if not old or before.old_seconds > 0:
        return before
    return replace(before, old_restarts=sum(p.restarts for p in old), old_seconds=round(_seconds(old, now)))


def _finding(
    policy: Policy, verdict: Verdict, memory: HealthMemory | None, began: float, message: str = ""
) -> tuple[ReleaseFinding, ...]:
    """Return the finding for remediation. It acts as the policy's rules that guard releases do.

    began: when the phase of the release began; the pods are Ok since then if none ever failed.
    """
    rule = policy.pod_rule
    if rule is None:
        return ()
    since = memory.failing_since if memory is not None else None
    if verdict is Verdict.BREACH and since is None:
        rule, since = replace(rule, rollback=None), memory.pausing_since if memory is not None else None
    ok_since = memory.ok_since if memory is not None and memory.ok_since is not None else began
    return (
        ReleaseFinding(
            rule,
            verdict,
            since,
            message=message or "the pods of the release",
            ok_since=ok_since if verdict is Verdict.OK else None,
        ),
    )


def _stuck(release: ReleaseMemory, target: TargetState, evidence: _Evidence, cause: str) -> tuple[Notice, ...]:
    causes = [f.cause.value for f in evidence.reported]
    kind = max(sorted(set(causes)), key=causes.count, default="not-created")
    message = f"pods of revision {release.revision} fail: {cause} ({target.ready} of {target.replicas} ready)"
    if evidence.alike:
        message += f". It does not count against the release: {evidence.alike}"
    elif target.create_failure and refuses_any_revision(target.create_failure):
        message += ". It does not count against the release: pods of any revision are refused"
    elif evidence.reported and not _enough(evidence.reported, evidence.total):
        message += ". It does not count against the release while the other pods serve: check the pod and its node"
    return (_notice(release, kind, message),)


def _notice(release: ReleaseMemory, kind: str, message: str) -> Notice:
    return Notice(f"stuck/{kind}/{release.revision}", STUCK, message, warning=True)


def _rollback_blocked(release: ReleaseMemory, policy: Policy, target: TargetState, now: float) -> tuple[Notice, ...]:
    """Report pods of the failed revision that stay after a rollback, with the command that deletes them.

    By default the controller of a StatefulSet replaces a pod only after the ones before it are ready, and waits for a
    broken one forever (kubernetes.io, StatefulSets, Forced rollback). With the strategy OnDelete nothing is replaced.
    """
    if target.kind not in ("StatefulSet", "DaemonSet") or target.pods is None:
        return ()
    left = [p for p in target.pods if p.revision == release.rolled_from and not p.terminating]
    broken = [p.name for p in left if not p.ready] if target.kind == "StatefulSet" else []
    late = rollback_is_late(release, policy, target, now)
    names = sorted(p.name for p in left) if late else sorted(broken)
    if not names:
        return ()
    why = "waits for" if broken else "does not replace the"
    what = " that do not become ready" if broken else ", for example because of its update strategy OnDelete"
    shown = names[:MOST_NAMED]
    more = f" (and {len(names) - len(shown)} more)" if len(names) > len(shown) else ""
    message = (
        f"revision {release.revision} was restored, but the controller {why} pods of revision "
        f"{release.rolled_from}{what}. Delete them: kubectl -n {target.namespace} delete pod {' '.join(shown)}{more}"
    )
    return (Notice(f"rollback-blocked/{release.revision}", "RollbackBlocked", message, warning=True),)


def is_stalled(release: ReleaseMemory, target: TargetState, now: float) -> bool:
    """Whether a rollout made no progress for its progress deadline: no pod became ready.

    From then on it does not prevent scaling down. Only a Deployment has a condition for it, and not while paused.
    """
    if target.progress_deadline_exceeded:
        return True
    if target.rolled_out and target.ready >= target.replicas:
        return False
    if target.pods is None and target.kind == "Deployment" and not target.paused:
        return False
    ready = (p.ready_at for p in target.pods or () if p.ready_at is not None)
    latest = min(now, max(ready, default=0.0))
    return now - max(latest, min(release.since, now)) >= target.progress_deadline


def learn_startup(before: float | None, pods: Sequence[Pod] | None) -> float | None:
    """Return the start-up time of the target's pods, in seconds from creation to readiness: the 90th percentile.

    Only first starts count. A change of less than a tenth keeps the value, so that the memory is not written for it.
    """
    if not pods:
        return before
    times = sorted(
        p.ready_at - p.created
        for p in pods
        if p.ready_at is not None and p.started_serving == p.ready_at and not p.restarts and not p.unready_count
        and 0 <= p.ready_at - p.created <= MOST_STARTUP
    )  # fmt: skip
    if not times:
        return before
    found = max(1.0, times[min(len(times) - 1, int(0.9 * len(times)))])
    return before if before is not None and abs(found - before) <= max(1.0, before / 10) else found
