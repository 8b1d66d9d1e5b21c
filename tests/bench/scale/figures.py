"""What must be reached, and what was measured beside it."""

from __future__ import annotations

import math
from dataclasses import dataclass

from tests.bench.scale.parts import Plan, Results

BOUND_CORES = {15.0: 0.2, 5.0: 0.35, 2.0: 0.6}
BOUND_BYTES = 400e6
BOUND_QUERIES = 15
BOUND_REACTION = {5.0: (3.3, 6.5), 2.0: (1.8, 3.5)}
"""p50 and p99, in seconds."""
BOUND_CUSTOM = 0.05
BOUND_CUSTOM_QUERIES = 67
BOUND_LAG = 1.0
BOUND_FIRST = 15.0
BOUND_CHURN = 10.0
BOUND_CONTROL_PLANE = 0.01


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the table. met: None where there is no bound for it."""

    what: str
    bound: str
    measured: str
    met: bool | None = None


def figures(found: Results) -> list[Figure]:
    """All that was measured."""
    return [
        *_costs(found),
        *_steady(found),
        *_starts(found),
        *_reactions(found),
        *_linearity(found),
        *_custom(found),
    ]


def _costs(found: Results) -> list[Figure]:
    n, made = found.plan.policies, list[Figure]()
    for interval in found.plan.intervals:
        if interval in found.refused:
            made.append(Figure(f"at {interval:g} s", "allowed", "the API refuses this interval", False))
        if (w := found.windows.get((n, interval))) is None:
            continue
        bound = BOUND_CORES.get(interval)
        made.append(
            Figure(
                f"CPU, {n:,} policies × 3 preset signals, {interval:g} s",
                f"≤ {bound:g} core" if bound else "",
                f"{w.cores:.3f} core",
                w.cores <= bound if bound else None,
            )
        )
        if w.peer is not None:
            made.append(Figure("  the peer's process meanwhile", "", f"{w.peer[0]:.3f} core, {w.peer[1] / 1e6:.0f} MB"))
    windows = [w for (count, _), w in found.windows.items() if count == n]
    if windows:
        queries = max(w.queries_an_interval for w in windows)
        made += [
            *(
                Figure(
                    f"resident memory at most, at {w.interval:g} s",
                    "≤ 400 MB",
                    f"{w.most / 1e6:.0f} MB",
                    w.most <= BOUND_BYTES,
                )
                for w in windows
            ),
            Figure(
                "Prometheus queries, same",
                f"≤ {BOUND_QUERIES} an interval",
                f"{queries:.1f} an interval",
                queries <= BOUND_QUERIES,
            ),
        ]
        for w in windows:
            made += [
                Figure(
                    f"evaluation lag at {w.interval:g} s over {w.seconds:.0f} s",
                    "p99 ≤ 1 s",
                    f"p50 {w.lag[0]:.3f} s, p99 {w.lag[1]:.3f} s",
                    w.lag[1] <= BOUND_LAG,
                ),
                Figure(f"evaluations missed, of {w.evaluations:,.0f}", "0", f"{w.missed:,.0f}", w.missed == 0),
            ]
    return made


def _steady(found: Results) -> list[Figure]:
    if (quiet := found.quiet) is None or (alone := found.control_plane_alone) is None:
        return []
    spent, writes = quiet.control_plane - alone, quiet.writes.total()
    return [
        Figure(
            f"API writes in a steady state, refresh off, {quiet.seconds:.0f} s",
            "0",
            ", ".join(f"{count} × {right}" for right, count in quiet.writes.items()) or "0",
            writes == 0,
        ),
        Figure(
            "API server and etcd, with the operator less without",
            "< 0.01 core",
            f"{spent:+.4f} core ({quiet.control_plane:.3f} − {alone:.3f})",
            spent < BOUND_CONTROL_PLANE,
        ),
    ]


def _starts(found: Results) -> list[Figure]:
    n, made = found.plan.policies, list[Figure]()
    if found.restart is not None:
        made.append(
            Figure(
                f"start → first evaluation of all {n:,}",
                "≤ 15 s",
                _seconds(found.restart),
                found.restart <= BOUND_FIRST,
            )
        )
    if found.first_start is not None:
        evaluated, ready = found.first_start
        made += [
            Figure("  the same, none ever evaluated before", "≤ 15 s", _seconds(evaluated), evaluated <= BOUND_FIRST),
            Figure("  until every status is written and all are Ready", "", _seconds(ready)),
        ]
    if found.churn is not None:
        for what, took in zip(("applied at once: all Ready", "deleted at once: all gone"), found.churn, strict=True):
            made.append(Figure(f"{found.plan.crossing} policies {what}", "≤ 10 s", _seconds(took), took <= BOUND_CHURN))
    return made


def _reactions(found: Results) -> list[Figure]:
    made: list[Figure] = []
    for interval, r in found.reactions.items():
        p50, p99 = r.quantile(0.5), r.quantile(0.99)
        bound = BOUND_REACTION.get(interval)
        made.append(
            Figure(
                f"step → replicas patched, one of {found.plan.policies:,}, at {interval:g} s, {found.plan.steps} times",
                f"p50 ≤ {bound[0]} s, p99 ≤ {bound[1]} s" if bound else "",
                f"p50 {_seconds(p50)}, p99 {_seconds(p99)}",
                p50 <= bound[0] and p99 <= bound[1] if bound else None,
            )
        )
    if found.burst is not None:
        interval, r = found.burst
        last = r.quantile(1.0)
        made.append(
            Figure(
                f"{found.plan.crossing} of {found.plan.policies:,} cross at once → all patched, at {interval:g} s",
                f"≤ 10 s after their interval ({interval + 10:g} s)",
                _seconds(last),
                last <= interval + 10,
            )
        )
    return made


def _linearity(found: Results) -> list[Figure]:
    plan, made = found.plan, list[Figure]()
    for interval in plan.intervals:
        small, whole = found.windows.get((plan.small, interval)), found.windows.get((plan.policies, interval))
        if small is None or whole is None:
            continue
        times = whole.cores / small.cores if small.cores else math.inf
        made += [
            Figure(
                f"CPU from {plan.small:,} to {plan.policies:,} policies, at {interval:g} s",
                f"at most × {plan.policies / plan.small:g}",
                f"× {times:.1f} ({small.cores:.3f} → {whole.cores:.3f} core)",
                times <= plan.policies / plan.small,
            ),
            Figure(
                f"queries from {plan.small:,} to {plan.policies:,}, at {interval:g} s",
                "constant",
                f"{small.queries_an_interval:.1f} → {whole.queries_an_interval:.1f} an interval",
                whole.queries_an_interval <= BOUND_QUERIES,
            ),
        ]
    return made


def _custom(found: Results) -> list[Figure]:
    if (w := found.custom) is None:
        return []
    asked = w.queries / w.seconds
    return [
        Figure(
            f"CPU, {found.plan.asking} policies × 2 queries of their own, 15 s",
            "≤ 0.05 core",
            f"{w.cores:.3f} core",
            w.cores <= BOUND_CUSTOM,
        ),
        Figure("queries, same", "≤ 67/s", f"{asked:.1f}/s", asked <= BOUND_CUSTOM_QUERIES),
    ]


def _seconds(value: float) -> str:
    return "never" if math.isinf(value) else f"{value:.2f} s"


def title(plan: Plan) -> str:
    """The heading of a run."""
    return f"{plan.policies:,} policies, Prometheus scrapes every {plan.scrape:g} s"
