"""Observations of a target: a measurement, or the reason why there is none.

Unknown is not zero: an observation without a value always has a reason, and no later step may turn it into a number.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from resilience_operator.api.quantities import format_duration
from resilience_operator.decision.model.policy import Policy, Signal
from resilience_operator.decision.model.record import replace


class Histogram(NamedTuple):
    """Counts of requests by latency.

    bounds: ascending upper bounds in seconds; the last one is infinite. counts: cumulative, one per bound.
    """

    bounds: tuple[float, ...]
    counts: tuple[float, ...]


class Increment(NamedTuple):
    """What one pod counted between two evaluations.

    samples: requests. events: how many of them were bad, for a ratio of requests. histogram: the same requests by
    latency, for a quantile.
    """

    pod: str
    revision: str
    samples: float
    events: float | None = None
    histogram: Histogram | None = None


class Measured(NamedTuple):
    """A signal's value over some pods. A tuple, like `Observation`, because each round creates tens of thousands.

    value: in the signal's base unit: a ratio (0.7 = 70%), seconds, or a plain number.
    samples: number of requests within the window; None if unknown (CPU, custom queries without `samplesQuery`).
    events: for a ratio of requests, how many of `samples` were bad; None for other signals.
    histogram: for a quantile, the requests within the window by latency; None if they were not queried.
    """

    value: float
    samples: float | None = None
    events: float | None = None
    histogram: Histogram | None = None


class Observation(NamedTuple):
    """One signal of one target, as of `at` (seconds since the epoch, the sample's own time).

    Either `measured` is set, or `reason` (a stable CamelCase word) and `message` say why not. `measured` may have
    fewer samples than the policy requires: the decision judges that.
    by_revision: the signal by revision name; empty if it cannot be split.
    splittable: the series have a pod label. If `by_revision` of a splittable signal is empty, no revision had data.
    replica_factor: factor of replicas needed, for a signal that provides one (lost zones); `message` then explains the
        value.
    increments: what each pod counted since the previous evaluation, from `since` to `at`. Only while a release is
        analysed and the series have a pod label.
    since: start of the increments, seconds since the epoch; None if there are none, as at the first evaluation after a
        start of the operator. None is a gap in observation; an empty `increments` with `since` is not.
    first_look: the counters of the pods were read for the first time, so that the next evaluation has increments.
    window: the look-back in seconds, if it is longer than the policy's.
    overall: the mean over all pods, if pods have just started: `measured` then leaves these out.
    note: how the signal is measured, if not as the policy says, as a clause for the status.
    """

    at: float
    measured: Measured | None = None
    reason: str = ""
    message: str = ""
    by_revision: Mapping[str, Measured] = MappingProxyType({})
    splittable: bool = False
    replica_factor: float | None = None
    increments: tuple[Increment, ...] = ()
    since: float | None = None
    note: str = ""
    window: float | None = None
    first_look: bool = False
    overall: float | None = None

    @classmethod
    def unknown(cls, at: float, reason: str, message: str) -> Observation:
        """Return an observation without a measurement."""
        return cls(at=at, reason=reason, message=message)


class SignalView(NamedTuple):
    """A signal and its current observation."""

    signal: Signal
    observation: Observation


def signal_views(
    policy: Policy, observations: Mapping[str, Observation], now: float, patience: float, pods: int = 0
) -> dict[str, SignalView]:
    """Return every signal of the policy. Signals not queried, or older than their look-back, are Unknown.

    patience: seconds; younger measurements are never too old, however short the look-back.
    pods: replicas of the target, by which a total of all pods is divided.
    """
    found: dict[str, SignalView] = {}
    for name, signal in policy.signals.items():
        seen = observations.get(name)
        if seen is None:
            seen = Observation.unknown(now, "NotObserved", f"{name} was not queried")
        elif now - seen.at > patience and now - seen.at > signal.max_age(patience):
            message = f"{name}: the newest sample is {format_duration(now - seen.at)} old"
            seen = Observation.unknown(seen.at, "Stale", message)
        elif signal.total and pods > 1 and seen.measured is not None:
            seen = seen._replace(measured=seen.measured._replace(value=seen.measured.value / pods))
        if seen.window is not None:
            signal = replace(signal, window=seen.window)
        found[name] = SignalView(signal, seen)
    return found
