"""What was measured of a target, or why there is no measurement.

Unknown is not zero: an observation without a value always carries the reason, and nothing downstream may turn
it into a number.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from resilience_operator.api.quantities import format_duration
from resilience_operator.decision.model.policy import Policy, Signal


class Measured(NamedTuple):
    """A signal's value over some pods. A tuple, as `Observation` is, since tens of thousands are made in a round.

    value: in the signal's base unit: a ratio (0.7 = 70 %), seconds, or a plain number.
    samples: how many requests stand behind it within the window; None where that is not known (CPU, custom queries
        without `samplesQuery`).
    events: for a ratio of requests, how many of `samples` were bad; None for other signals.
    """

    value: float
    samples: float | None = None
    events: float | None = None


class Observation(NamedTuple):
    """One signal of one target, as of `at` (seconds since the epoch, the sample's own time).

    Either `measured` is there, or `reason` (a stable CamelCase word) and `message` say why not. A `Measured` with
    fewer samples than the policy asks for is still delivered: judging evidence is the decision's business.
    by_revision: the same signal split by revision, keyed by the revision's name; empty where it cannot be split.
    splittable: whether a split was possible in principle (series carry a pod). An empty `by_revision` of a
        splittable signal means that no revision had data.
    multiple: how many times the pods there were are needed, for a signal that tells so itself (lost zones); `message`
        then says more of the value.
    """

    at: float
    measured: Measured | None = None
    reason: str = ""
    message: str = ""
    by_revision: Mapping[str, Measured] = MappingProxyType({})
    splittable: bool = False
    replica_factor: float | None = None

    @classmethod
    def unknown(cls, at: float, reason: str, message: str) -> Observation:
        """An observation that could not be made."""
        return cls(at=at, reason=reason, message=message)


class SignalView(NamedTuple):
    """A signal and what is known of it now."""

    signal: Signal
    observation: Observation


def signal_views(
    policy: Policy, observations: Mapping[str, Observation], now: float, patience: float
) -> dict[str, SignalView]:
    """Every signal of the policy. What was not asked for, or is older than its look-back, is unknown.

    patience: an age in seconds that is never too old, however short the look-back.
    """
    found: dict[str, SignalView] = {}
    for name, signal in policy.signals.items():
        seen = observations.get(name)
        if seen is None:
            seen = Observation.unknown(now, "NotObserved", f"{name} was not queried")
        elif now - seen.at > signal.max_age(patience):
            message = f"{name}: the newest sample is {format_duration(now - seen.at)} old"
            seen = Observation.unknown(seen.at, "Stale", message)
        found[name] = SignalView(signal, seen)
    return found
