"""Policies as YAML with the remarks on them as comments; the same for scripts."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from typing import Any

import yaml

WIDTH = 110


class _Plain(yaml.SafeDumper):
    """Lists indented below their key, as people write them."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False)


def commented(document: dict[str, Any], title: str, remarks: Iterable[str]) -> str:
    """One document with a title and remarks above it."""
    lines = [f"# {title}"]
    for remark in remarks:
        lines += textwrap.wrap(remark, WIDTH, initial_indent="# - ", subsequent_indent="#   ", break_on_hyphens=False)
    text = yaml.dump(document, Dumper=_Plain, sort_keys=False, allow_unicode=True, width=WIDTH)
    return "\n".join(lines) + "\n" + text


def joined(parts: Sequence[str]) -> str:
    """Several documents in one."""
    return "---\n".join(parts)
