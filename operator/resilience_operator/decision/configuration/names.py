"""Names of revisions with configuration: `TEMPLATE+CONTENT`, a template's revision and the digest of what it reads."""

from __future__ import annotations

from typing import NamedTuple

SEPARATOR = "+"
"""Occurs in no name of a ReplicaSet or ControllerRevision."""

RESTORED = "resilience-operator.io/restored"
"""The annotation of a pod template whose pods were restarted to read restored content: `REVISION.TEMPLATE.TIME`."""


class Restored(NamedTuple):
    """Value of the annotation. revision: of the template without it. template: its digest. at: seconds since the epoch.

    The digest proves that the template was not changed since.
    """

    revision: str
    template: str
    at: int

    def __str__(self) -> str:
        return f"{self.revision}.{self.template}.{self.at}"


def read_restored(value: object) -> Restored | None:
    """Return the parsed annotation, or None if it is not one."""
    parts = value.rsplit(".", 2) if isinstance(value, str) else []
    if len(parts) != 3 or not all(parts) or not parts[2].isdecimal() or len(parts[2]) > 12:
        return None
    return Restored(parts[0], parts[1], int(parts[2]))


def revision_with(template: str, content: str) -> str:
    """Return the name of a template's revision with that content."""
    return f"{template}{SEPARATOR}{content}"


def template_of(name: str | None) -> str:
    """Return the template's revision in a name."""
    return (name or "").partition(SEPARATOR)[0]


def content_of(name: str | None) -> str:
    """Return the digest of the content in a name; empty if it names a template alone."""
    return (name or "").partition(SEPARATOR)[2]
