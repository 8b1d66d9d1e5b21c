"""A report as one HTML file: the picture and the table, without scripts or external resources."""

from __future__ import annotations

from html import escape

from resilience_operator.cli.report.model import Kind, RunReport
from resilience_operator.cli.report.text import HEADERS, rows, summary

_STYLE = """
:root { color-scheme: light dark; font: 15px/1.45 system-ui, sans-serif; }
body { margin: 1.5rem auto; max-width: 80rem; padding: 0 1rem; }
h1 { font-size: 1.2rem; }
figure { background: #fff; border-radius: .5rem; margin: 0 0 1.5rem; overflow-x: auto; padding: .5rem; }
figure svg { height: auto; max-width: 100%; min-width: 50rem; }
table { border-collapse: collapse; width: 100%; }
caption { text-align: left; font-weight: 600; padding-bottom: .3rem; }
th, td { border-bottom: 1px solid color-mix(in srgb, currentColor 20%, transparent); padding: .3rem .6rem .3rem 0;
  text-align: left; vertical-align: top; }
td:first-child { white-space: nowrap; font-variant-numeric: tabular-nums; }
tr.decision td:nth-child(2) { font-weight: 700; }
tr.event { opacity: .75; }
"""


def page(report: RunReport, svg: str) -> str:
    """The whole page. svg: the picture as an element."""
    headline = escape(summary(report))
    head = "".join(f'<th scope="col">{escape(header.capitalize())}</th>' for header in HEADERS)
    body = "\n".join(
        f'<tr class="{h.kind.value}">' + "".join(f"<td>{escape(cell.text)}</td>" for cell in row) + "</tr>"
        for h, row in zip(report.events, rows(report), strict=True)
    )
    notes = "".join(f"<p>{escape(note)}</p>" for note in report.notes)
    counted = sum(h.kind is Kind.DECISION for h in report.events)
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(report.title)}</title>
<style>{_STYLE}</style>
</head>
<body>
<h1>{headline}</h1>
{notes}
<figure role="img" aria-label="{headline}">
{svg}
</figure>
<table>
<caption>Timeline: {len(report.events)} entries, {counted} of them decisions</caption>
<thead><tr>{head}</tr></thead>
<tbody>
{body}
</tbody>
</table>
</body>
</html>
"""
