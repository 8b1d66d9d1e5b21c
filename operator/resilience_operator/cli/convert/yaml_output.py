"""Formats policies as YAML with notes as comments, or as data for scripts."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from typing import Any

import yaml

WIDTH = 110


class _Plain(yaml.SafeDumper):
    """A dumper that indents lists below their key."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False)


def commented(document: dict[str, Any], title: str, remarks: Iterable[str]) -> str:
    """One document below a title and notes."""
    lines = [f"# {title}"]
    for remark in remarks:
        lines += textwrap.wrap(remark, WIDTH, initial_indent="# - ", subsequent_indent="#   ", break_on_hyphens=False)
    text = yaml.dump(document, Dumper=_Plain, sort_keys=False, allow_unicode=True, width=WIDTH)
    return "\n".join(lines) + "\n" + text


def joined(parts: Sequence[str]) -> str:
    """Several documents in one text."""
    return "---\n".join(parts)
