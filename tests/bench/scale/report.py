"""The table, on the terminal and in docs/performance.md, beside the peers' figures."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from tests.bench.scale import usage
from tests.bench.scale.figures import Figure, figures, title
from tests.bench.scale.parts import Plan, Results
from tests.bench.scale.plot import draw
from tests.support.install import ROOT

PAGE = ROOT / "docs" / "performance.md"
PICTURE = ROOT / "docs" / "pictures" / "scale.svg"
BEGIN = "<!-- scale: written by python -m tests.bench.scale, from here -->"
END = "<!-- scale: to here -->"
MARK = {True: "yes", False: "**no**", None: ""}


def table(made: Sequence[Figure]) -> str:
    """For a terminal."""
    widths = [max(len(getattr(f, field)) for f in made) for field in ("what", "bound", "measured")]
    return "\n".join(
        f"{f.what:{widths[0]}}  {f.bound:{widths[1]}}  {f.measured:{widths[2]}}  {MARK[f.met].strip('*')}" for f in made
    )


def write(found: Results, command: str) -> None:
    """Put the table and the picture into the documentation."""
    PICTURE.parent.mkdir(parents=True, exist_ok=True)
    draw(found, PICTURE)
    page = PAGE.read_text()
    before, after = page.partition(BEGIN)[0], page.partition(END)[2]
    PAGE.write_text(f"{before}{BEGIN}\n\n{_section(found, command)}\n\n{END}{after}")


def _section(found: Results, command: str) -> str:
    rows = "\n".join(f"| {f.what} | {f.bound} | {f.measured} | {MARK[f.met]} |" for f in figures(found))
    return f"""{_when(found.plan)}, on {usage.machine()},
shared with the API server, etcd, Prometheus and the benchmark itself:

    {command}

| figure | bound | measured | kept |
|---|---|---|---|
{rows}

![CPU by policies and interval; time from a step to the patch](pictures/{PICTURE.name})"""


def _when(plan: Plan) -> str:
    return f"{title(plan)}, measured {datetime.now(UTC):%Y-%m-%d}"
