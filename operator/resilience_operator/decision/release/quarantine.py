"""The quarantine of revisions that were rolled back: how it ends."""

from __future__ import annotations

from collections.abc import Iterable

from resilience_operator.api.pause import moment_text
from resilience_operator.api.quantities import format_duration
from resilience_operator.decision.model.commands import HistoryMark, Notice
from resilience_operator.decision.model.memory import HoldMemory, Quarantine, ReleaseMemory
from resilience_operator.decision.model.policy import Policy
from resilience_operator.decision.model.record import replace


def current_quarantine(
    quarantined: tuple[Quarantine, ...], policy: Policy, now: float, hold: HoldMemory | None = None
) -> tuple[tuple[Quarantine, ...], tuple[Notice, ...]]:
    """Return the revisions that are still quarantined, and notices of those that are not; the same object if all are.

    A quarantine expires, or a person lifts it. The clock may have been set back: it then began now. It does not expire
    while the tool that applies the target is held: the revision would be applied again, although nobody changed it.
    """
    unreadable = _unreadable_lifts(policy)
    if not quarantined:
        return quarantined, unreadable
    held = hold.revision if hold is not None and hold.since is not None else None
    kept: list[Quarantine] = []
    notices: list[Notice] = []
    for entry in quarantined:
        at = min(entry.at, now)
        lift = next((x for x in policy.orders.lifts if x.revision == entry.revision and at <= min(x.at, now)), None)
        if lift is not None:
            when = moment_text(min(lift.at, now))
            notices.append(_ended(entry, f"{lift.by or 'someone'} lifted its quarantine at {when}"))
        elif now - at >= policy.release.quarantine and entry.revision != held:
            notices.append(_ended(entry, f"its quarantine of {format_duration(policy.release.quarantine)} is over"))
        else:
            kept.append(entry)
    return (quarantined if len(kept) == len(quarantined) else tuple(kept)), (*notices, *unreadable)


def _ended(entry: Quarantine, why: str) -> Notice:
    return Notice(
        f"quarantine-ended/{entry.revision}",
        "QuarantineEnded",
        f"revision {entry.revision} may be released again: {why}",
        transient=True,
        history=HistoryMark("endQuarantine", entry.revision),
    )


def discharge(release: ReleaseMemory, revisions: Iterable[str | None]) -> ReleaseMemory:
    """Return the release without charges against `revisions`; the same object if there are none."""
    acquitted = set(revisions)
    if acquitted.isdisjoint(release.charged):
        return release
    return replace(release, charged=tuple(name for name in release.charged if name not in acquitted))


def _unreadable_lifts(policy: Policy) -> tuple[Notice, ...]:
    """Return the notice that an order to lift a quarantine cannot be read."""
    problem = policy.orders.lift_problem
    if not problem:
        return ()
    message = f"{problem}. Use `kubectl resilience release {policy.name} REVISION -n {policy.namespace}`"
    return (Notice("lift-unreadable", "ReleaseOrderUnreadable", message, warning=True),)
