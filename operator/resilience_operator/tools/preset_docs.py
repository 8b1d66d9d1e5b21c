"""Generates the page on preset families: `python -m resilience_operator.tools.preset_docs > docs/presets.md`."""

from __future__ import annotations

import sys
from importlib.resources import files

from resilience_operator.signals.presets.models import (
    BASE_FAMILY,
    Families,
    Family,
    Quantile,
    Quotient,
    Ratio,
    load_families,
    queries,
)


def document(families: Families) -> str:
    """All families as Markdown."""
    table = ["| family | measured | split by revision |", "|---|---|---|"]
    found = [family for name in families.names if (family := families.family(name))]
    for family in found:
        split = "yes" if family.splittable else "no"
        table.append(f"| [`{family.name}`](#{family.name}) | {family.summary} | {split} |")
    shared = families.family(BASE_FAMILY)
    introduction = files("resilience_operator.signals").joinpath("presets", "introduction.md").read_text("utf-8")
    parts = [introduction.replace("{table}", "\n".join(table))]
    parts += [_section(family) for family in ([shared] if shared else []) + found]
    return "\n".join(parts)


def _section(family: Family) -> str:
    lines = [f"## {family.name}", "", f"{family.title}. {family.summary}", "", "Needs:", ""]
    lines += [f"- {need}" for need in family.needs]
    lines += ["", f"Matched by {_join(family)}.", ""]
    lines += [f"- {note}" for note in family.notes] + ([""] if family.notes else [])
    lines += ["Sources: " + ", ".join(f"<{source}>" for source in family.sources), ""]
    for name, preset in family.signals.items():
        lines += [f"### {family.name}: {name}", ""]
        for part, query in queries(preset).items():
            lines += [f"{_about(preset, part)}:", "", "```promql", query, "```", ""]
    return "\n".join(lines)


def _join(family: Family) -> str:
    join = family.join
    if join.by == "owner":
        return f"`{join.namespace}` and the owner in `{join.pod}`: can be split by revision"
    if join.combined_label:
        return f"`{join.name}` = namespace and name, separated by a dash: cannot be split by revision"
    return f"`{join.namespace}` and `{join.name}` = the target's name: cannot be split by revision"


def _about(preset: Ratio | Quantile | Quotient, part: str) -> str:
    texts = {
        "events": "Bad requests",
        "samples": "All requests",
        "value": "The percentile",
        "buckets": "The buckets, for targets with pods of several revisions and for releases",
        "unreadable": "Requests whose status cannot be read",
        "uncovered": "Used by containers without a CPU request",
        "pod_events": "Bad requests of each pod, for releases",
        "pod_samples": "All requests of each pod, for releases",
        "pod_buckets": "The buckets of each pod, for releases",
        "numerator": "Used",
        "denominator": "Requested",
    }
    milliseconds = isinstance(preset, Quantile) and preset.scale == 0.001 and part.endswith(("value", "buckets"))
    return texts[part] + (" (in milliseconds)" if milliseconds else "")


if __name__ == "__main__":
    sys.stdout.write(document(load_families()))
