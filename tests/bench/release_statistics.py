"""How often a good release is taken for a bad one, and how soon a bad one is caught.

    python -m tests.bench.release_statistics [--releases N] [--seed N]

Each release is judged by the decision's own `judge_release`, look by look. Requests come at random (Poisson) and fail
independently. A look sees the counts of the last two minutes, as `increase(…[2m])` tells them, so that successive
looks share most of what they see. First the new revision's share of the traffic rises to all of it; while there are
pods of both, the two are compared. Then the old pods are gone and the release bakes for ten minutes, compared with
the time before it.

False alarm: one look at which the new revision of two equal ones counts as crossed (with `for: 0s` the rollout is then
paused). Rolled back: the same at every look for 30 s.
"""

from __future__ import annotations

import argparse
import random
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import exp
from time import perf_counter

from resilience_operator.decision.analysis.evidence import judge_all, judge_release
from resilience_operator.decision.analysis.judgement import CanaryContext
from resilience_operator.decision.model.memory import RequestCounts
from resilience_operator.decision.model.observation import Measured, Observation
from resilience_operator.decision.model.policy import Condition, Signal

SIGNAL = Signal("error-rate", window=120.0, min_samples=20.0, unit="ratio")
CONDITION = Condition("error-rate", 0.01)
BAKE = 600.0
AFTER = 30.0
BOUND_FALSE_ALARMS = 0.01
BOUND_POWER = 0.99


@dataclass(frozen=True, slots=True)
class Setting:
    """base: error rate of both revisions. rate: requests/s in all. interval: seconds between looks.

    rollout: seconds in which the new share rises from `share` to all; at a constant `share` if `canary`.
    """

    base: float
    rate: float
    interval: float = 15.0
    rollout: float = 300.0
    share: float = 0.1
    canary: bool = False

    def shares(self) -> Iterator[float]:
        """The new revision's share of the traffic before each look."""
        looks = round(self.rollout / self.interval)
        for i in range(looks):
            yield self.share if self.canary else self.share + (1 - self.share) * i / looks
        for _ in range(round(BAKE / self.interval)):
            yield 1.0

    def __str__(self) -> str:
        kind = f"{self.share:.0%} canary" if self.canary else "rolling"
        return f"{self.base:6.2%} errors, {self.rate:4.0f}/s, every {self.interval:2.0f} s, {kind} {self.rollout:.0f} s"


SETTINGS = (
    Setting(0.009, 5.0),
    Setting(0.012, 50.0),
    Setting(0.02, 5.0),
    Setting(0.05, 50.0, interval=5.0),
    Setting(0.02, 50.0, rollout=900.0, canary=True, share=0.5),
    Setting(0.05, 50.0, rollout=1800.0, canary=True, share=0.25, interval=5.0),
)
"""Below the threshold, just over it, and far over it as under load; the last, with its 480 looks, is the worst case."""


def poisson(rng: random.Random, mean: float) -> int:
    """A Poisson variate: by inversion, or by the normal approximation from 30 on."""
    if mean <= 0:
        return 0
    if mean > 30:
        return max(0, round(rng.gauss(mean, mean**0.5)))
    k, p, u = 0, exp(-mean), rng.random()
    total = p
    while u > total and k < 200:
        k += 1
        p *= mean / k
        total += p
    return k


class Window:
    """Requests and failures of one revision within the look-back."""

    def __init__(self, interval: float) -> None:
        self._parts: deque[tuple[int, int]] = deque(maxlen=round(SIGNAL.window / interval))
        self.requests = 0
        self.failures = 0

    def add(self, rng: random.Random, mean: float, error_rate: float) -> None:
        """One interval more, with `mean` requests expected."""
        parts = self._parts
        if len(parts) == parts.maxlen:
            gone, gone_bad = parts[0]
            self.requests -= gone
            self.failures -= gone_bad
        came = poisson(rng, mean)
        bad = min(came, poisson(rng, came * error_rate))
        parts.append((came, bad))
        self.requests += came
        self.failures += bad

    def measured(self) -> Measured | None:
        """As the signal tells it; None when there was no request."""
        if not self.requests:
            return None
        return Measured(self.failures / self.requests, float(self.requests), float(self.failures))


def look(at: float, new: Window, old: Window | None, trial: CanaryContext, *, ok_before: bool) -> bool:
    """Whether the decision holds what is seen against the release."""
    measured = new.measured()
    if measured is None or measured.value <= CONDITION.threshold:
        return False  # as `judge` says at once; it is said here only to save the making of the observation
    split = {"new": measured}
    if old is not None and (before := old.measured()) is not None:
        split["old"] = before
    observation = Observation(at, measured, by_revision=split, splittable=True)
    return judge_release(CONDITION, SIGNAL, observation, trial, ok_before=ok_before).crossed is True


def release(rng: random.Random, setting: Setting, new_error_rate: float | None = None) -> tuple[bool, bool]:
    """One release: whether there was a false alarm, and whether it lasted until a rollback."""
    interval, rate = setting.interval, setting.rate
    new, old = Window(interval), Window(interval)
    for _ in range(round(SIGNAL.window / interval)):
        old.add(rng, rate * interval, setting.base)
    trial = CanaryContext(
        "new",
        baseline={SIGNAL.name: RequestCounts(old.requests, old.failures)} if old.requests else {},
        measured_since=0.0,
    )
    everything = old.measured()
    whole = Observation(0.0, everything) if everything else Observation.unknown(0.0, "NoTraffic", "")
    ok_before = judge_all(CONDITION, SIGNAL, whole).crossed is False
    bad = setting.base if new_error_rate is None else new_error_rate
    alarm, since, at = False, None, 0.0
    for share in setting.shares():
        at += interval
        new.add(rng, rate * interval * share, bad)
        there = share < 1
        if there:
            old.add(rng, rate * interval * (1 - share), setting.base)
        if not look(at, new, old if there else None, trial, ok_before=ok_before):
            since = None
            continue
        alarm = True
        since = at if since is None else since
        if at - since >= AFTER:
            return True, True
    return alarm, False


def false_alarms(setting: Setting, releases: int, seed: int) -> tuple[float, float]:
    """Shares of releases with a false alarm, and rolled back for nothing."""
    rng = random.Random(seed)
    found = [release(rng, setting) for _ in range(releases)]
    return sum(a for a, _ in found) / releases, sum(r for _, r in found) / releases


def caught(share: float, interval: float, runs: int, seed: int, *, within: float = 30.0, rate: float = 50.0) -> float:
    """The share of releases with 5% errors against 0.1% that are caught `within` seconds of their first request."""
    rng, found = random.Random(seed), 0
    for _ in range(runs):
        new, old = Window(interval), Window(interval)
        for _ in range(round(SIGNAL.window / interval)):
            old.add(rng, rate * interval, 0.001)
        trial = CanaryContext(
            "new", baseline={SIGNAL.name: RequestCounts(old.requests, old.failures)}, measured_since=0.0
        )
        for i in range(1, round(within / interval) + 1):
            new.add(rng, rate * interval * share, 0.05)
            old.add(rng, rate * interval * (1 - share), 0.001)
            if look(i * interval, new, old, trial, ok_before=True):
                found += 1
                break
    return found / runs


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints the figures; 1 when a bound is broken."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.release_statistics")
    parser.add_argument("--releases", type=int, default=10_000, help="of each setting (default: %(default)s)")
    parser.add_argument("--runs", type=int, default=1000, help="for the power (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(arguments)
    begun, worst = perf_counter(), 0.0
    print(f"{options.releases} releases of equal revisions each; threshold 1%, window 2 min, bake 10 min")
    for setting in SETTINGS:
        alarms, rolled_back = false_alarms(setting, options.releases, options.seed)
        worst = max(worst, alarms)
        print(f"  {setting!s:58} false alarms {alarms:6.2%}, rolled back {rolled_back:6.2%}", flush=True)
    print(f"{options.runs} releases with 5% errors against 0.1%, 50 requests/s in all, caught within 30 s:")
    weakest = 1.0
    for share, interval in ((0.5, 15.0), (0.5, 5.0), (0.25, 15.0), (0.25, 5.0), (0.1, 5.0)):
        power = caught(share, interval, options.runs, options.seed)
        if share >= 0.25:
            weakest = min(weakest, power)
        print(f"  new revision with {share:4.0%} of the traffic, every {interval:2.0f} s   {power:6.1%}")
    print(
        f"worst false-alarm rate {worst:.2%} (bound {BOUND_FALSE_ALARMS:.0%}), weakest power {weakest:.1%} "
        f"(bound {BOUND_POWER:.0%}, from a quarter of the traffic on); {perf_counter() - begun:.0f} s"
    )
    return int(worst >= BOUND_FALSE_ALARMS or weakest < BOUND_POWER)


if __name__ == "__main__":
    raise SystemExit(main())
