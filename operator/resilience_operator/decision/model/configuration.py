"""What the target's pod template reads now, and which contents are kept."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Configuration:
    """The configuration of a target. Objects: digests by `Reference.key`; empty for an object that does not exist.

    digest: of all objects. complete: every object that is not optional exists. at_start: those that containers read
    only when they start. kept: the objects of the contents of which there is a copy, by digest, as
    JSON text: there are many, and few are used. too_large: bytes, if a copy would be
    too large; else 0. delivered: what applies an object from git or a chart, if that is known.
    """

    digest: str
    objects: Mapping[str, str] = field(default_factory=dict)
    complete: bool = True
    at_start: frozenset[str] = frozenset()
    kept: Mapping[str, str] = field(default_factory=dict)
    too_large: int = 0
    delivered: Mapping[str, str] = field(default_factory=dict)

    def objects_of(self, content: str) -> Mapping[str, str] | None:
        """Return the objects of a kept content, or None if it is not kept."""
        text = self.kept.get(content)
        if text is None:
            return None
        found: dict[str, str] = json.loads(text)
        return found
