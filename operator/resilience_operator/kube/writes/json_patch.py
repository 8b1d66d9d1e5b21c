"""Operations of a JSON patch: https://www.rfc-editor.org/rfc/rfc6902."""

from __future__ import annotations

from typing import Any

Op = dict[str, Any]
Ops = list[Op]

ANNOTATIONS = "/metadata/annotations"

TRIES = 5
"""Maximum number of attempts to read and patch an object that keeps changing."""


def test_op(path: str, value: Any) -> Op:
    """The precondition that a field has a value; None: that it does not exist."""
    return {"op": "test", "path": path, "value": value}


def set_op(path: str, value: Any) -> Op:
    """Add a field, or replace its value."""
    return {"op": "add", "path": path, "value": value}


def remove_op(path: str) -> Op:
    """Remove a field."""
    return {"op": "remove", "path": path}


def annotation_path(key: str) -> str:
    """The path of an annotation (https://www.rfc-editor.org/rfc/rfc6901: `~` and `/` are escaped)."""
    return f"{ANNOTATIONS}/{key.replace('~', '~0').replace('/', '~1')}"
