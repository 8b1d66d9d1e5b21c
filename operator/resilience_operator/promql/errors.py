"""The error for an invalid query, and PromQL string literals."""

from __future__ import annotations


class TemplateError(ValueError):
    """A query that cannot be used; the text says what to change."""


def quoted(value: str) -> str:
    """`value` as a PromQL string literal."""
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\r", "\\r")
    return f'"{escaped}"'
