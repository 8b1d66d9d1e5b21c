"""One process of the cluster. Data only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Component:
    """One process. ``ready_url`` answers 200 once it serves."""

    name: str
    executable: Path
    arguments: tuple[str, ...]
    ready_url: str
    environment: Mapping[str, str] = field(default_factory=dict)
    called: str | None = None
    """What the process sees as its own name, where that is not ``name``."""

    @property
    def argv(self) -> list[str]:
        return [self.called or self.name, *self.arguments]
