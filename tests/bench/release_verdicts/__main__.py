"""How often a good release is held for a bad one, and how soon a bad one is convicted.

    python -m tests.bench.release_verdicts [--quick] [--releases N] [--bad N] [--whole N] [--seed N] [--verbose]

First the sequential test itself, vectorised, over half-hour releases that are evaluated every 5 s; beside it what the
rules of other tools do on streams of the same kind. Then whole releases through `decide()`: a rolling update of four
pods and its bake. Exits 1 if a bar is missed.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Sequence
from itertools import product
from statistics import median
from time import perf_counter, process_time

import numpy as np

from resilience_operator.decision.analysis.intervals import wilson
from resilience_operator.decision.model.policy import Condition
from tests.bench.release_verdicts import costs, peers
from tests.bench.release_verdicts.vectorised import Setting, convictions, convictions_of
from tests.bench.release_verdicts.whole import Case, Verdict, run

HALF_HOUR = 1800.0
FALSE_ALARMS = 0.001
SHARED = 0.01
"""The bar with a shared incident (R22)."""

ONE_SIDED_Z = 1.645
"""z-score of an upper bound at 95% confidence."""
SIDES = ((1, 19), (1, 3), (2, 2))
"""Pods of the new and of the old revision: 5, 25 and 50% of the traffic."""

WORSE = Condition("latency-p99", math.inf, worse_by=0.2)
OVER_A_SECOND = Condition("latency-p99", 1.0)
ERRORS_WORSE = Condition("error-rate", math.inf, worse_by=0.2)


CHOSEN = (
    Setting(10.0, 1, 3, 0.005),
    Setting(50.0, 1, 3, 0.012, burst=5),
    Setting(10.0, 1, 3, 0.005, burst=15),
    Setting(500.0, 1, 3, 0.001, burst=50),
    Setting(10.0, 1, 19, 0.012, burst=3),
    Setting(10.0, 1, 3, 0.012, burst=3),
    Setting(500.0, 2, 2, 0.012, burst=50),
    Setting(50.0, 1, 19, 0.012),
)
"""Settings that are shown with the rules of other tools beside them."""

INCIDENTS = tuple(
    Setting(rate, new, old, 0.001, burst=burst, shared=shared, incident=incident)
    for new, old in SIDES
    for rate, shared, incident in ((10.0, 0.05, 60.0), (50.0, 0.05, 60.0), (50.0, 0.3, 120.0), (500.0, 0.2, 300.0))
    for burst in (1, 15)
)
"""Equal revisions with a shared incident of one to five minutes."""


def equal_settings() -> list[Setting]:
    """The grid of equal revisions. A P99 of 40 to 95% of its bound is a share of 0.01 to 0.9% over the bound."""
    grid = product((1.0, 10.0, 50.0, 500.0), SIDES, (0.0, 0.0001, 0.001, 0.005, 0.009, 0.012), (1, 3, 15, 50))
    settings = [Setting(rate, new, old, base, burst=burst) for rate, (new, old), base, burst in grid]
    return settings + [Setting(50.0, 1, 1, base, burst=b, share=0.95) for base in (0.001, 0.012) for b in (1, 15)]


def allowed(share: float, releases: int, settings: int) -> int:
    """How many of `releases` may be convicted in one of many settings, if the true share is at most `share`.

    More would happen in one of a hundred benches, over all settings (Poisson).
    """
    mean, most = share * releases, 0
    term = tail = math.exp(-mean)
    while 1.0 - tail > 0.01 / settings:
        most += 1
        term *= mean / most
        tail += term
    return most


def convicted(settings: Sequence[Setting], releases: int, seed: int) -> dict[Setting, int]:
    """How many equal releases of each setting are convicted in half an hour."""
    groups: dict[tuple[int, int], list[Setting]] = {}
    for setting in settings:
        groups.setdefault((setting.new, setting.old), []).append(setting)
    found: dict[Setting, int] = {}
    for group in groups.values():
        wrong = np.isfinite(convictions_of(group, releases, HALF_HOUR, seed)).sum(1)
        found |= {setting: int(count) for setting, count in zip(group, wrong, strict=True)}
    return found


def report_equal(options: argparse.Namespace) -> bool:
    """Equal revisions through the test itself."""
    return _report_settings("Equal revisions", equal_settings(), FALSE_ALARMS, options) | _report_settings(
        "Equal revisions with a shared incident", INCIDENTS, SHARED, options
    )


def _report_settings(name: str, settings: Sequence[Setting], bar: float, options: argparse.Namespace) -> bool:
    """One line for all settings, and one for each in which too many are convicted."""
    found = convicted(settings, options.releases, options.seed)
    wrong, releases = sum(found.values()), len(found) * options.releases
    most = allowed(bar, options.releases, len(found))
    upper = wilson(wrong, releases, ONE_SIDED_Z)[1]
    print(
        f"{name}: {wrong} of {releases} convicted in half an hour ({len(found)} settings, {options.releases} each; "
        f"bar {bar:.1%} in each). At 95% confidence it is at most {upper:.3%} over all"
    )
    missed = bool(wrong > bar * releases)
    for setting, count in sorted(found.items(), key=lambda item: -item[1]):
        if count > most or (count and options.verbose):
            print(f"  {setting}: {count} of {options.releases}{'   MISSED' if count > most else ''}")
        missed |= count > most
    return missed


def report_peers(options: argparse.Namespace) -> bool:
    """Equal revisions, and what other tools do on streams of the same kind. They have no bar."""
    releases = min(options.releases, 1000)
    print(f"Beside it the rules of other tools: failed in half an hour, of {releases} equal releases each")
    print(f"  {'requests/s':>10} {'share':>6} {'failures':>9} {'burst':>5} {'Kayenta':>8} {'fixed':>7}")
    for setting in CHOSEN:
        kayenta, fixed = peers.judged(setting, releases, HALF_HOUR, options.seed)
        share = setting.shares[: setting.new].sum()
        print(
            f"  {setting.rate:10g} {share:6.0%} {setting.base:9.2%} {setting.burst:5} {kayenta:8.1%} {fixed:7.1%}",
            flush=True,
        )
    return False


def report_power(options: argparse.Namespace) -> bool:
    """Bad revisions through the test itself."""
    # A latency has three tests at the default bounds, which share the budget: 40% slower at the bound of 0.1 s, where
    # the odds of a release that is slower by exactly 20% are 1.83 times as high.
    slower = Setting(50.0, 2, 2, 0.328, 0.589)
    rows = (
        ("5% against 0.1%, 50/s, 25%", Setting(50.0, 1, 3, 0.001, 0.05), 1.0, 0.99, 30.0),
        ("0.6% against 0.05%, 50/s, 50%, by 20%", Setting(50.0, 2, 2, 0.0005, 0.006), 1.2, 0.5, 130.0),
        ("0.6% against 0.05%, 50/s, 50%, by 20%", Setting(50.0, 2, 2, 0.0005, 0.006), 1.2, 0.99, HALF_HOUR),
        ("40% slower, 50/s, 50%, by 20%", slower, 1.83, 0.5, 30.0),
        ("40% slower, 50/s, 50%, by 20%", slower, 1.83, 1.0, HALF_HOUR),
    )
    print(f"Bad revisions: convicted in time, of {options.bad} each")
    missed = False
    for name, setting, effect, bar, within in rows:
        tests = 3 if setting is slower else 1
        found = convictions(
            setting, options.bad, HALF_HOUR, options.seed, false_alarms=FALSE_ALARMS / tests, effect=effect
        )
        reached = float(np.mean(found <= within))
        missed |= reached < bar
        told = f"{reached:7.1%} within {within:4.0f} s (bar {bar:.0%}), median {np.median(found):4.0f} s"
        print(f"  {name:44} {told}{'   MISSED' if reached < bar else ''}", flush=True)
    return missed


COSTS = (
    ("equal, noise 5%", 1.0, 0.05, 0, False),
    ("worse by exactly 20%, noise 2%", 1.2, 0.02, 0, False),
    ("worse by exactly 20%, noise 20%, old pods beside", 1.2, 0.2, 2, False),
    ("1.4 times, noise 3%, old pods beside", 1.4, 0.03, 3, True),
    ("1.8 times, noise 2%", 1.8, 0.02, 0, True),
    ("1.8 times, noise 5%, old pods beside", 1.8, 0.05, 3, True),
)
"""Ratio of the cost, noise of a window, windows with old pods beside the new ones, and whether it is bad."""


def report_costs(options: argparse.Namespace) -> bool:
    """CPU per request, worse than the baseline by 20%, in windows of two minutes."""
    releases = min(options.bad // 10, 500)
    print(f"CPU per request, by 20%, in half an hour, {releases} each (bars: 0.1% of good, 95% of bad ones)")
    missed = False
    for name, ratio, noise, beside, bad in COSTS:
        found = costs.convicted(ratio, noise, releases, options.seed, beside=beside)
        share = float(np.mean(np.isfinite(found)))
        late = share < 0.95 if bad else share > max(FALSE_ALARMS, 1.0 / releases)
        missed |= late
        when = f", median {2 * np.median(found):.0f} min" if bad else ""
        print(f"  {name:52} convicted {share:7.1%}{when}{'   MISSED' if late else ''}", flush=True)
    return missed


Bar = Callable[[list[Verdict]], bool]


def rolled_back(found: Sequence[Verdict]) -> float:
    return sum(v.rolled_back is not None for v in found) / len(found)


def at_most(share: float) -> Bar:
    """At most that share rolled back; with few releases, at most one."""
    return lambda found: sum(v.rolled_back is not None for v in found) <= max(share * len(found), 1.0 if share else 0.0)


def at_least(share: float, within: float = math.inf) -> Bar:
    """At least that share rolled back, and the median conviction within some seconds.

    With few releases a few may miss the share.
    """

    def holds(found: list[Verdict]) -> bool:
        times = [v.convicted for v in found if v.convicted is not None]
        allowed = (1 - share) * len(found)
        slack = 2 * math.sqrt(allowed) if len(found) < 500 else 0.0
        missing = sum(v.rolled_back is None for v in found)
        return missing <= allowed + slack and bool(times) and median(times) <= within

    return holds


def against(old: float, new: float) -> Callable[[float, bool, float], float]:
    return lambda at, is_new, age: new if is_new else old


def slower(factor: float, until: float = math.inf) -> Callable[[bool, float], float]:
    return lambda is_new, age: factor if is_new and age <= until else 1.0


CASES: tuple[tuple[str, Case, Bar], ...] = (
    ("R1: 10% at 3/s", Case(3.0, against(0.001, 0.1)), at_least(0.95)),
    ("R1: 10% at 5/s", Case(5.0, against(0.001, 0.1)), at_least(0.95)),
    ("R1: 5% at 10/s", Case(10.0, against(0.001, 0.05)), at_least(0.95)),
    ("R1: 3% at 20/s", Case(20.0, against(0.001, 0.03)), at_least(0.95)),
    ("R1: 3% at 50/s", Case(50.0, against(0.001, 0.03)), at_least(0.95)),
    ("5% at 20/s, rolled out in 20 s", Case(20.0, against(0.001, 0.05), step=5.0), at_least(0.95)),
    ("R3: 40% slower at 50/s, after the warm-up", Case(50.0, slow=slower(1.4), condition=WORSE, warm_up=0.0),
     at_least(1.0, 30.0)),
    ("2% of requests 8 times slower", Case(50.0, slow=slower(1.0), tail=0.02, condition=WORSE), at_least(0.99)),
    ("0.6% against 0.05%, by 20%", Case(50.0, against(0.0005, 0.006), condition=ERRORS_WORSE),
     at_least(0.99, 130.0)),
    ("5% at 50/s, and at first 30% of all for 2 min",
     Case(50.0, against(0.001, 0.05), incident=120.0, incident_rate=0.3, incident_by=20.0), at_least(0.95)),
    ("equal, 0.5% at 10/s", Case(10.0, against(0.005, 0.005)), at_most(0.0)),
    ("equal, 1.2% at 10/s", Case(10.0, against(0.012, 0.012)), at_most(0.001)),
    ("R2: equal, 0.5% over 1 s at 10/s", Case(10.0, slow=slower(1.0), median=0.2, sigma=0.62, condition=OVER_A_SECOND),
     at_most(0.0)),
    ("equal latencies, by 20%", Case(50.0, slow=slower(1.0), condition=WORSE), at_most(0.001)),
    ("R7: equal, bursts of 15", Case(50.0, against(0.005, 0.005), burst=15), at_most(0.001)),
    ("R7: equal, bursts of 30", Case(50.0, against(0.005, 0.005), burst=30), at_most(0.001)),
    ("R22: equal, a shared minute at 3/s", Case(3.0, incident=60.0), at_most(0.01)),
    ("R22: equal, a shared minute at 50/s", Case(50.0, incident=60.0), at_most(0.01)),
    ("R22: equal, 30% of all fail for 2 min at 50/s", Case(50.0, incident=120.0, incident_rate=0.3), at_most(0.01)),
    ("R23: twice as slow for 30 s", Case(50.0, slow=slower(2.0, 30.0), condition=WORSE), at_most(0.001)),
    ("R23: twice as slow for 60 s", Case(50.0, slow=slower(2.0, 60.0), condition=WORSE), at_most(0.01)),
)  # fmt: skip


def report_whole(options: argparse.Namespace) -> bool:
    """Whole releases through `decide()`."""
    print(f"Whole releases of four pods through decide(), {options.whole} each; seconds since the release began")
    missed = False
    for name, case, holds in CASES:
        found = [run(case, options.seed + number) for number in range(options.whole)]
        times = [v.convicted for v in found if v.convicted is not None]
        paused = sum(v.paused is not None for v in found) / len(found)
        fine = holds(found)
        missed |= not fine
        when = f"convicted after {median(times):4.0f} s" if times else "never convicted"
        print(
            f"  {name:44} rolled back {rolled_back(found):7.1%}, paused {paused:7.1%}, {when}"
            f"{'' if fine else '   MISSED'}",
            flush=True,
        )
    return missed


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the tables. Returns 1 if a bar is missed."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.release_verdicts")
    parser.add_argument("--quick", action="store_true", help="fewer of everything, within two minutes")
    parser.add_argument("--releases", type=int, help="equal releases of each setting")
    parser.add_argument("--bad", type=int, help="bad releases of each setting")
    parser.add_argument("--whole", type=int, help="releases of each case through decide()")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--verbose", action="store_true", help="print each setting with a wrong verdict")
    options = parser.parse_args(arguments)
    options.releases = options.releases or (60 if options.quick else 10_000)
    options.bad = options.bad or (1000 if options.quick else 10_000)
    options.whole = options.whole or (20 if options.quick else 1000)
    began = perf_counter()
    reports = (report_equal, report_peers, report_power, report_costs, report_whole)
    missed = [report(options) for report in reports]
    spent = f"{perf_counter() - began:.0f} s, {process_time():.0f} s of CPU"
    print(f"{'a bar was missed' if any(missed) else 'all bars are met'}; {spent}")
    return int(any(missed))


if __name__ == "__main__":
    raise SystemExit(main())
