"""The chart of a report: signals against their thresholds with verdict bands, pods, and decisions, on one time axis.

matplotlib is imported only here and only when a picture is asked for: it is an extra (`resilience-operator[pictures]`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from importlib.util import find_spec
from io import StringIO
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from resilience_operator.api.quantities import format_duration, format_value
from resilience_operator.cli.common.console import UsageError
from resilience_operator.cli.report.html import page
from resilience_operator.cli.report.model import Kind, RunReport, TimelineEvent
from resilience_operator.cli.report.text import summary
from resilience_operator.decision.model.memory import Phase, Verdict

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# The palette of Okabe and Ito, which is safe for colour-blind readers (jfly.uni-koeln.de/color).
_INK, _BLUE, _ORANGE, _RED, _GREEN, _PURPLE, _GREY = (
    "#222222", "#0072b2", "#e69f00", "#d55e00", "#009e73", "#cc79a7", "#8a8a8a",
)  # fmt: skip
_BANDS = {Verdict.PENDING: (_ORANGE, 0.25), Verdict.BREACH: (_RED, 0.25), Verdict.UNKNOWN: (_GREY, 0.3)}
_PHASES = {
    Phase.STABLE: "#e8eef2", Phase.PROGRESSING: "#9ecae1", Phase.BAKING: "#c6dbef", Phase.PAUSED: "#fdd0a2",
    Phase.ROLLING_BACK: "#fc9272", Phase.ROLLED_BACK: "#fcbba1",
}  # fmt: skip
_ACTIONS = {
    "scaleUp": ("^", _BLUE), "scaleDown": ("v", _BLUE), "pauseRollout": ("s", _ORANGE), "resumeRollout": (">", _GREEN),
    "rollback": ("X", _RED),
}  # fmt: skip
_MOST_POINTS = 3000
"""Maximum points of one line: more than the picture's width in pixels."""
_MOST_LINES = 24
"""Maximum decisions with a line through all panels, those on releases first. More would hide the data."""

FORMATS = (".html", ".png", ".svg")


def check(path: Path) -> None:
    """Refuse a picture that cannot be written, before the run, which may take minutes. Raises UsageError."""
    if path.suffix not in FORMATS:
        raise UsageError(f"{path}: the file name must end in {', '.join(FORMATS[:-1])} or {FORMATS[-1]}")
    if not path.parent.is_dir():
        raise UsageError(f"{path}: the folder {path.parent} does not exist")
    if path.is_dir():
        raise UsageError(f"{path}: is a folder, not a file")
    if find_spec("matplotlib") is None:
        raise UsageError("--picture needs matplotlib: pip install 'resilience-operator[pictures]'")


def draw(report: RunReport, path: Path) -> None:
    """Write the picture in the format of the file name's extension. Raises OSError. path: see `check`."""
    figure = _figure(report)
    if path.suffix == ".html":
        svg = StringIO()
        figure.savefig(svg, format="svg")
        text = svg.getvalue()
        path.write_text(page(report, text[text.index("<svg") :]), encoding="utf-8")
    else:
        figure.savefig(path, format=path.suffix[1:], dpi=200)


def _figure(report: RunReport) -> Figure:
    import matplotlib
    from matplotlib.figure import Figure

    style: dict[Any, Any] = {
        "font.size": 9, "axes.spines.top": False, "axes.spines.right": False, "axes.edgecolor": _GREY,
        "axes.labelcolor": _INK, "text.color": _INK, "svg.fonttype": "none", "svg.hashsalt": report.title,
    }  # fmt: skip
    with matplotlib.rc_context(style):
        count = len(report.signals)
        figure = Figure(figsize=(13, 2.2 + 1.75 * count + 1.6), layout="constrained")
        axes: Sequence[Axes] = figure.subplots(
            count + 3, 1, sharex=True, height_ratios=[3.0] * count + [2.2, 0.45, 1.3]
        )
        figure.suptitle(summary(report), x=0.01, ha="left", fontsize=10, wrap=True)
        for number, name in enumerate(report.signals):
            _signal(axes[number], report, number, name)
        _pods(axes[count], report)
        _phase(axes[count + 1], report)
        _lane(axes[count + 2], report)
        _lines(axes[: count + 1], report)
        _time_axis(axes[-1], report)
        figure.align_ylabels(axes)
        figure.draw_without_rendering()
    return figure


def _dates() -> Any:
    """Convert to matplotlib's dates, which have no type hints."""
    from matplotlib import dates

    return dates


def _x(report: RunReport, at: float) -> Any:
    return at - report.start if report.relative else datetime.fromtimestamp(at, UTC)


def _signal(ax: Axes, report: RunReport, number: int, name: str) -> None:
    looks, unit = report.samples, report.policy.signals[name].unit
    values = [math.nan if look.values[number] is None else look.values[number] for look in looks]
    at, shown = _thinned([look.at for look in looks], values)
    ax.plot([_x(report, a) for a in at], shown, color=_INK, linewidth=0.9)
    conditions = [c for r in report.policy.rules for c in r.conditions if c.signal == name and c.worse_by is None]
    bounds = sorted({(c.threshold, c.above) for c in conditions})
    for bound, above in bounds:
        ax.axhline(bound, color=_RED, linewidth=0.9, linestyle=(0, (5, 3)))
        label = f" {'above' if above else 'below'} {format_value(bound, unit)}"
        ax.annotate(label, (1, bound), xycoords=("axes fraction", "data"), va="center", fontsize=8, color=_RED)
    for verdict, spans in _spans(report, lambda look: look.verdicts[number]):
        if verdict in _BANDS:
            colour, alpha = _BANDS[verdict]
            _bars(ax, report, spans, colour, alpha)
    finite = [v for v in values if v is not None and math.isfinite(v)]
    top = max([*finite, *(bound for bound, _ in bounds)], default=1.0) or 1.0
    ax.set_ylim(0, top * 1.12)
    ax.set_ylabel(name)
    ax.yaxis.set_major_formatter(lambda value, _: format_value(value, unit))
    if number == 0:
        _legend(ax)


def _legend(ax: Axes) -> None:
    from matplotlib.patches import Patch

    handles = [Patch(color=colour, alpha=alpha, label=v.value) for v, (colour, alpha) in _BANDS.items()]
    ax.legend(handles=handles, loc="lower right", bbox_to_anchor=(1, 1), ncols=3, frameon=False, fontsize=8)


def _pods(ax: Axes, report: RunReport) -> None:
    from matplotlib.ticker import MaxNLocator

    looks = report.samples
    for label, sizes, colour, dashes in (
        ("actual", [float(look.replicas) for look in looks], _GREY, "-"),
        ("with the policy", [float(look.wanted) for look in looks], _BLUE, "-"),
    ):
        at, shown = _changes([look.at for look in looks], sizes)
        ax.step([_x(report, a) for a in at], shown, where="post", color=colour, linestyle=dashes, label=label)
    most = max(max(look.replicas, look.wanted) for look in looks)
    limit = report.policy.max_replicas
    if limit is not None and limit <= 3 * most:
        ax.axhline(limit, color=_RED, linewidth=0.9, linestyle=(0, (5, 3)))
        ax.annotate(
            f" max {limit}", (1, limit), xycoords=("axes fraction", "data"), va="center", fontsize=8, color=_RED
        )
        most = max(most, limit)
    ax.set_ylim(0, most * 1.15)
    ax.yaxis.set_major_locator(MaxNLocator(integer=True, nbins="auto", steps=[1, 2, 5, 10]))
    ax.set_ylabel("pods")
    if any(look.replicas != look.wanted for look in looks):
        ax.legend(loc="lower right", bbox_to_anchor=(1, 0.97), frameon=False, fontsize=8, ncols=2)


def _phase(ax: Axes, report: RunReport) -> None:
    for phase, spans in _spans(report, lambda look: look.phase):
        _bars(ax, report, spans, _PHASES[phase], 1.0)
        widest = max(spans, key=lambda span: span[1] - span[0])
        if widest[1] - widest[0] > 0.05 * (report.end - report.start):
            middle = (widest[0] + widest[1]) / 2
            ax.annotate(phase.value, (_x(report, middle), 0.5), ha="center", va="center", fontsize=8)
    ax.set_ylim(0, 1)
    ax.set_yticks([])
    ax.set_ylabel("release", rotation=0, ha="right", va="center")


def _lane(ax: Axes, report: RunReport) -> None:
    """Draw the timeline: decisions on the upper line, notices and external events below."""
    lines = ((Kind.DECISION, 2.0), (Kind.NOTICE, 1.0), (Kind.EVENT, 0.0))
    for kind, height in lines:
        for action, group in groupby(
            sorted((h for h in report.events if h.kind is kind), key=lambda h: h.action), key=lambda h: h.action
        ):
            marker, colour = _ACTIONS.get(action, ("o", _PURPLE if kind is Kind.NOTICE else _GREEN))
            times = [_x(report, h.at) for h in group]
            label = action if kind is Kind.DECISION else None
            ax.scatter(
                times, [height] * len(times), marker=marker, color=colour, s=34 if label else 16, label=label, zorder=3
            )
    ax.set_yticks([height for _, height in lines], ["decisions", "notices", "events"])
    ax.set_ylim(-0.6, 2.6)
    ax.grid(axis="y", color="#dddddd", linewidth=0.6)
    if report.decisions:
        ax.legend(loc="upper left", bbox_to_anchor=(0, -0.4), ncols=5, frameon=False, fontsize=8)


def _lines(axes: Sequence[Axes], report: RunReport) -> None:
    decisions: Sequence[TimelineEvent] = report.decisions
    if len(decisions) > _MOST_LINES:
        decisions = [h for h in decisions if h.action not in ("scaleUp", "scaleDown")][:_MOST_LINES]
    for h in decisions:
        _, colour = _ACTIONS.get(h.action, ("o", _PURPLE))
        for ax in axes:
            ax.axvline(_x(report, h.at), color=colour, linewidth=0.8, alpha=0.6)


def _time_axis(ax: Axes, report: RunReport) -> None:
    dates = _dates()
    left, right = _x(report, report.start), _x(report, report.end + report.policy.interval)
    ax.set_xlim(left, right)
    if report.relative:
        ax.set_xticks(_round_times(report.end - report.start))
        ax.xaxis.set_major_formatter(lambda seconds, _: f"+{format_duration(round(seconds))}" if seconds else "0")
        return
    locator = dates.AutoDateLocator(tz=UTC)
    ax.xaxis.set_major_locator(locator)
    ax.xaxis.set_major_formatter(dates.ConciseDateFormatter(locator, tz=UTC))
    ax.set_xlabel("times are UTC", fontsize=8)


def _round_times(seconds: float) -> list[float]:
    """Six to twelve round tick positions, as seconds from the start."""
    steps = (5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400)
    step = next((s for s in steps if seconds / s <= 12), 86400)
    return [float(t) for t in range(0, int(seconds) + 1, step)]


def _spans(report: RunReport, of: Callable[[Any], Any]) -> Iterator[tuple[Any, list[tuple[float, float]]]]:
    """The spans (from, to) of each state."""
    found: dict[Any, list[tuple[float, float]]] = {}
    looks = report.samples
    begun = 0
    for number in range(1, len(looks) + 1):
        if number == len(looks) or of(looks[number]) != of(looks[begun]):
            end = looks[number].at if number < len(looks) else looks[-1].at + report.policy.interval
            found.setdefault(of(looks[begun]), []).append((looks[begun].at, end))
            begun = number
    yield from found.items()


def _bars(ax: Axes, report: RunReport, spans: Sequence[tuple[float, float]], colour: str, alpha: float) -> None:
    """Draw bands over the whole height of a panel, as one collection."""
    dates = _dates()
    wide = [
        (b - a if report.relative else (b - a) / 86400, a - report.start if report.relative else a) for a, b in spans
    ]
    ranges = [(start if report.relative else dates.date2num(_x(report, start)), width) for width, start in wide]
    ax.broken_barh(ranges, (0, 1), transform=ax.get_xaxis_transform(), color=colour, alpha=alpha, linewidth=0, zorder=0)


def _thinned(at: Sequence[float], values: Sequence[float | None]) -> tuple[list[float], list[float]]:
    """Downsample a line: the minimum and the maximum of each part, in order."""
    numbers = [math.nan if v is None else v for v in values]
    if len(at) <= _MOST_POINTS:
        return list(at), numbers
    size = math.ceil(len(at) / (_MOST_POINTS / 2))
    kept: list[int] = []
    for first in range(0, len(at), size):
        piece = range(first, min(first + size, len(at)))
        finite = [i for i in piece if math.isfinite(numbers[i])]
        if finite:
            kept += sorted({min(finite, key=numbers.__getitem__), max(finite, key=numbers.__getitem__)})
        if len(finite) < len(piece):
            # Keep gaps.
            kept.append(next(i for i in piece if not math.isfinite(numbers[i])))
    kept.sort()
    return [at[i] for i in kept], [numbers[i] for i in kept]


def _changes(at: Sequence[float], values: Sequence[float]) -> tuple[list[float], list[float]]:
    """The points at which a step line changes, and the last point."""
    kept = [i for i in range(len(at)) if i in (0, len(at) - 1) or values[i] != values[i - 1]]
    return [at[i] for i in kept], [values[i] for i in kept]
