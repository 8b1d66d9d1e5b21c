"""The bake: the time for which a release is observed after its last pod is ready.

Only time counts in which the workload was fully ready, its signals were measured and the operator looked. All other
time shifts the start of the bake.
"""

from __future__ import annotations

from resilience_operator.decision.model.commands import Notice
from resilience_operator.decision.model.memory import Phase, ReleaseMemory
from resilience_operator.decision.model.policy import Policy
from resilience_operator.decision.model.record import replace
from resilience_operator.decision.release.goal import mark_served

MOST_STEP = 60.0
"""Maximum seconds between two stored moments at which the operator looked at a bake."""


def observation_step(policy: Policy) -> float:
    """Return the seconds between two stored moments: a tenth of the bake, so that a restart loses at most that."""
    return min(max(policy.release.bake / 10, policy.interval), max(MOST_STEP, policy.interval))


def next_look(release: ReleaseMemory, policy: Policy) -> float | None:
    """Return when the next moment is stored; None outside a bake."""
    started = release.bake_started
    if release.phase is not Phase.BAKING or release.observed_at is None or started is None:
        return None
    if release.unmeasured is not None or release.observed_at - started >= policy.release.bake:
        return None
    return release.observed_at + observation_step(policy)


def advance_bake(
    release: ReleaseMemory,
    policy: Policy,
    *,
    measured: bool,
    serving: bool,
    clean: bool,
    proven: bool,
    guarded: bool = True,
    now: float,
    patience: float,
    lookback: float,
) -> tuple[ReleaseMemory, tuple[Notice, ...]]:
    """Return the release after one more evaluation of its bake, and the notice of its end.

    measured: no rule that guards releases is Unknown. serving: every pod is ready, and none fails.
    clean: no threshold is crossed, whatever the cause. proven: it is proven that the revision is not worse than the
    one before; a bake with `untilProven` then ends. guarded: a rule guards releases. Without one the bake ends, but
    nothing was judged, so the revision is not good.
    patience: seconds between evaluations that are no gap. lookback: seconds without measurements before a notice.
    """
    if release.phase is not Phase.BAKING or release.bake_started is None:
        return release, ()
    release = _without_gap(release, policy, patience, now)
    started = release.bake_started
    assert started is not None
    counts = measured and serving
    if not counts and release.unmeasured is None:
        release = replace(release, unmeasured=now)
    elif counts and release.unmeasured is not None:
        started += max(0.0, now - release.unmeasured)
        release = replace(release, bake_started=started, unmeasured=None, observed_at=now)
    over = now - started >= policy.release.bake
    if not over and not (proven and policy.release.until_proven is not None and counts and clean):
        return release, ()
    if release.unmeasured is not None:
        long = now - release.unmeasured >= lookback
        return release, (_unmeasured(release),) if long and not measured else ()
    if not guarded:
        return replace(mark_served(release), phase=Phase.STABLE, since=now, unmeasured=None, observed_at=None), ()
    return _finish_bake(release, clean=clean, early=not over, now=now)


def begin_anew(release: ReleaseMemory, crashed_at: float | None, now: float) -> ReleaseMemory:
    """Return the release whose bake begins at a crash of pods that had served: a bake is a time without."""
    if crashed_at is None or release.phase is not Phase.BAKING or release.bake_started is None:
        return release
    if release.bake_started >= crashed_at:
        return release
    return replace(release, bake_started=crashed_at, observed_at=now)


def _without_gap(release: ReleaseMemory, policy: Policy, patience: float, now: float) -> ReleaseMemory:
    """Shift the bake by a gap in observation: the operator was down, or the clock was set."""
    started, observed = release.bake_started, release.observed_at
    assert started is not None
    if observed is None:
        return replace(release, observed_at=now, bake_started=min(started, now))
    if observed > now or started > now:
        # The clock was set back: what was observed until then still counts.
        counted = max(0.0, observed - started)
        unmeasured = None if release.unmeasured is None else min(release.unmeasured, now)
        return replace(release, bake_started=now - counted, observed_at=now, unmeasured=unmeasured)
    step, gap = observation_step(policy), now - observed
    if gap < step or release.unmeasured is not None or observed - started >= policy.release.bake:
        return release
    if gap > step + patience:
        started += gap
    return replace(release, bake_started=started, observed_at=now)


def _finish_bake(
    release: ReleaseMemory, *, clean: bool, early: bool, now: float
) -> tuple[ReleaseMemory, tuple[Notice, ...]]:
    """Mark the revision as good if its bake ends without a breach."""
    if not clean:
        return release, (
            Notice(
                f"unclean/{release.revision}",
                "BakeUnclean",
                f"revision {release.revision} is not marked as good at the end of its bake: a rule that guards "
                "releases is not Ok",
                warning=True,
            ),
        )
    how = "proved not to be worse than the revision before" if early else "completed its bake"
    good = Notice(
        f"good/{release.revision}",
        "ReleaseGood",
        f"revision {release.revision} {how} and is now the last good revision",
        transient=True,
    )
    release = replace(
        release,
        phase=Phase.STABLE,
        since=now,
        good=release.revision,
        good_template=release.template,
        charged=(),
        unmeasured=None,
        observed_at=None,
    )
    return mark_served(release), (good,)


def _unmeasured(release: ReleaseMemory) -> Notice:
    return Notice(
        f"unmeasured/{release.revision}",
        "BakeUnmeasured",
        f"revision {release.revision} cannot be marked as good: its signals have not been measured for a whole bake. "
        "Until then a rollback may restore it only if all its pods were ready for that time",
        warning=True,
    )
