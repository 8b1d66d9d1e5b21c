"""The quarantine of revisions that were rolled back: how it ends."""

from __future__ import annotations

from resilience_operator.api.quantities import format_duration
from resilience_operator.decision.model.commands import Notice
from resilience_operator.decision.model.memory import Quarantine
from resilience_operator.decision.model.policy import Policy


def current_quarantine(
    quarantined: tuple[Quarantine, ...], policy: Policy, now: float
) -> tuple[tuple[Quarantine, ...], tuple[Notice, ...]]:
    """Return the revisions that are still quarantined, and notices of those that are not; the same object if all are.

    A quarantine expires, or a person lifts it. The clock may have been set back: it then began now.
    """
    if not quarantined:
        return quarantined, ()
    kept: list[Quarantine] = []
    notices: list[Notice] = []
    for entry in quarantined:
        at = min(entry.at, now)
        lift = next((x for x in policy.lifts if x.revision == entry.revision and at <= min(x.at, now)), None)
        if lift is not None:
            who = lift.by or "someone"
            notices.append(_ended(entry, f"{who} lifted its quarantine"))
        elif now - at >= policy.release.quarantine:
            notices.append(_ended(entry, f"its quarantine of {format_duration(policy.release.quarantine)} is over"))
        else:
            kept.append(entry)
    return (quarantined if len(kept) == len(quarantined) else tuple(kept)), tuple(notices)


def _ended(entry: Quarantine, why: str) -> Notice:
    return Notice(
        f"quarantine-ended/{entry.revision}",
        "QuarantineEnded",
        f"revision {entry.revision} may be released again: {why}",
        transient=True,
    )
