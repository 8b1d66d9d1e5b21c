"""The picture: what it costs, and how soon it acts."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure

from tests.bench.scale.figures import BOUND_CORES, BOUND_REACTION
from tests.bench.scale.parts import Results

mpl.rcParams.update({"svg.hashsalt": "scale", "svg.fonttype": "none"})
COLOURS = {15.0: "#0072b2", 5.0: "#d55e00", 2.0: "#009e73"}


def draw(found: Results, path: Path) -> None:
    """Left: CPU over the number of policies, a line an interval. Right: the share of steps answered by then."""
    figure = Figure(figsize=(10, 3.8), layout="constrained")
    costs, reactions = figure.subplots(1, 2)
    for interval in found.plan.intervals:
        points = sorted((n, w.cores) for (n, i), w in found.windows.items() if i == interval)
        if points:
            colour = COLOURS.get(interval, "#555555")
            costs.plot(*zip(*points, strict=True), marker="o", color=colour, label=f"every {interval:g} s")
            if (bound := BOUND_CORES.get(interval)) is not None:
                costs.plot(points[-1][0], bound, marker="_", markersize=18, color=colour)
    costs.set(xlabel="policies, of three preset signals", ylabel="core", title="CPU of the operator (— its bounds)")
    costs.set_xlim(left=0)
    costs.set_ylim(bottom=0)
    for interval, r in found.reactions.items():
        ranked, colour = sorted(r.seconds), COLOURS.get(interval, "#555555")
        shares = [(n + 1) / (len(ranked) + r.missing) for n in range(len(ranked))]
        reactions.step(ranked, shares, where="post", color=colour, label=f"every {interval:g} s")
        for bound, share in zip(BOUND_REACTION.get(interval, ()), (0.5, 0.99), strict=False):
            reactions.plot(bound, share, marker="|", markersize=14, color=colour)
    title = f"Step → patch, one of {found.plan.policies:,} (| its bounds)"
    reactions.set(xlabel="seconds", ylabel="share of steps", title=title)
    reactions.set_xlim(left=0)
    for axes in (costs, reactions):
        axes.grid(alpha=0.3)
        if axes.get_legend_handles_labels()[0]:
            axes.legend()
    figure.savefig(path, metadata={"Date": None})
