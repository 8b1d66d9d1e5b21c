"""The goal of a rollback: which revision is restored, and how far back that is."""

from __future__ import annotations

from collections.abc import Container, Iterator
from dataclasses import dataclass

from resilience_operator.api.quantities import format_duration
from resilience_operator.decision.configuration.revisions import is_known
from resilience_operator.decision.model.memory import Phase, ReleaseMemory, ServedRevision
from resilience_operator.decision.model.policy import Policy
from resilience_operator.decision.model.record import replace
from resilience_operator.decision.model.target import Revision, TargetState
from resilience_operator.decision.release.lifecycle import ANALYSED_PHASES
from resilience_operator.decision.release.manual_steps import undo_command

MAX_SERVED = 10
"""Revisions remembered as served: as many as a workload keeps by default (`revisionHistoryLimit`)."""

MAX_CHARGED = 10


@dataclass(frozen=True, slots=True)
class RollbackGoal:
    """The revision to restore. distance: how many revisions back it is. age: seconds since it was created."""

    revision: Revision
    distance: int
    age: float

    @property
    def description(self) -> str:
        """How far back it goes; empty for the revision right before."""
        if self.distance <= 1:
            return ""
        return f" (back {self.distance} revisions, {format_age(self.age)} old)"


def format_age(seconds: float) -> str:
    """Format an age: `3 days` from two days on, otherwise hours, minutes or seconds alone."""
    if seconds >= 2 * 86400:
        return f"{int(seconds // 86400)} days"
    unit = 3600 if seconds >= 3600 else 60 if seconds >= 60 else 1
    return format_duration(int(seconds // unit * unit))


@dataclass(frozen=True, slots=True)
class RollbackBlocked:
    """Why a rollback is not possible."""

    reason: str
    message: str


def rollback_goal(
    release: ReleaseMemory, target: TargetState, quarantined: Container[str], now: float
) -> RollbackGoal | RollbackBlocked:
    """Return the revision to restore, or why there is none.

    That is the newest one that served a whole bake with all pods ready and without a charge. If none is remembered, it
    is the last good one.
    """
    unknown: str | None = None
    for known in _candidates(release):
        if known.revision in quarantined or known.revision in release.charged:
            continue
        if known.revision == release.revision and known.template == release.template:
            continue
        kept = target.find(known.revision)
        if not is_known(target, known.revision):
            unknown = unknown or known.revision
            continue
        if kept is not None and kept.template == known.template:
            return RollbackGoal(kept, _distance(kept, release, target), max(0.0, now - kept.created))
    if unknown is not None:
        return RollbackBlocked(
            "ConfigurationUnknown",
            f"revision {release.revision} fails, but what revision {unknown} read is not kept, so nothing is restored: "
            f"restore its ConfigMaps by hand, then `{undo_command(target)}`, or apply a fix",
        )
    return _blocked(release, target, quarantined)


def _candidates(release: ReleaseMemory) -> Iterator[ServedRevision]:
    yield from reversed(release.served)
    if release.good is not None:
        yield ServedRevision(release.good, release.good_template)


def _distance(goal: Revision, release: ReleaseMemory, target: TargetState) -> int:
    current = target.find(release.revision)
    newest = current.number if current is not None else max(r.number for r in target.revisions)
    return len({r.number for r in target.revisions if goal.number < r.number <= newest})


def _blocked(release: ReleaseMemory, target: TargetState, quarantined: Container[str]) -> RollbackBlocked:
    """Return why the last good revision cannot be restored."""
    if release.good is None:
        return RollbackBlocked(
            "NoKnownGoodRevision",
            f"revision {release.revision} fails, but no earlier revision has completed its bake: if you know a good "
            f"one, roll back manually with `{undo_command(target)}`",
        )
    if release.good == release.revision and release.good_template == release.template:
        return RollbackBlocked("AlreadyLastGood", f"revision {release.good} fails but is itself the last good one")
    if release.good in quarantined:
        message = f"the last good revision {release.good} was itself rolled back"
        return RollbackBlocked("GoodRevisionQuarantined", message)
    kept = target.find(release.good)
    if kept is None:
        return RollbackBlocked(
            "GoodRevisionGone",
            f"the cluster no longer keeps the last good revision {release.good}: increase "
            "spec.revisionHistoryLimit of the workload",
        )
    if kept.template != release.good_template:
        return RollbackBlocked(
            "GoodRevisionChanged",
            f"the stored template of revision {release.good} is not the one that completed its bake: find out who "
            f"changed {kept.kept_in or release.good}, and apply a good version manually",
        )
    message = f"the last good revision {release.good} has failed a rule since"
    return RollbackBlocked("GoodRevisionQuarantined", message)


def mark_failed(release: ReleaseMemory) -> ReleaseMemory:
    """Return the release with a charge against its revision; the same object if it has one."""
    if release.revision is None or release.revision in release.charged:
        return release
    return replace(
        release,
        charged=(*release.charged, release.revision)[-MAX_CHARGED:],
        served=tuple(s for s in release.served if s.revision != release.revision),
    )


def with_service(
    release: ReleaseMemory, policy: Policy, *, serving: bool, suspect: bool = False, now: float
) -> ReleaseMemory:
    """Return the release with what its revision served: a whole bake with all pods ready makes it a goal.

    The bake itself also needs measurements. Without them a revision is not good, but it is newer than the last good
    one, and nothing speaks against it.

    suspect: a rule is in breach since the release, without proof. That speaks against it.
    """
    if suspect and release.phase in ANALYSED_PHASES:
        served = tuple(s for s in release.served if s.revision != release.revision)
        if release.ready_since is None and served == release.served:
            return release
        return replace(release, ready_since=None, served=served)
    if release.phase is not Phase.BAKING or not serving:
        return release if release.ready_since is None else replace(release, ready_since=None)
    if release.ready_since is None or release.ready_since > now:
        return replace(release, ready_since=now)
    if now - release.ready_since < policy.release.bake:
        return release
    return mark_served(release)


def mark_served(release: ReleaseMemory) -> ReleaseMemory:
    """Return the release with its revision as the newest one that served; the same object if it is that already."""
    if release.revision is None or release.revision in release.charged:
        return release
    found = ServedRevision(release.revision, release.template)
    if release.served and release.served[-1] == found:
        return release
    others = (s for s in release.served if s.revision != release.revision)
    return replace(release, served=(*others, found)[-MAX_SERVED:])
