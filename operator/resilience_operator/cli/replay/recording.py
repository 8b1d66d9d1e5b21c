"""Recorded metrics: the result of each query at each time, in memory and as a file.

The file is JSON (gzipped if its name ends in `.gz`): the grid, the policy that it was recorded for, and the series of
each query, with one value per time or null. The key is the query, so a recording serves each policy with the same
queries: thresholds, actions and durations may differ.
"""

from __future__ import annotations

import gzip
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from resilience_operator.cli.common.console import UsageError
from resilience_operator.cli.replay.time_grid import Grid

FORMAT = "resilience-operator.io/recording/v1"
_WORDS = {"NaN": math.nan, "+Inf": math.inf, "-Inf": -math.inf}

Values = list[float | None]


@dataclass(frozen=True, slots=True)
class Track:
    """One series over the grid; None where it has no sample."""

    labels: Mapping[str, str]
    values: Values


Tracks = tuple[Track, ...]


@dataclass(slots=True)
class Recording:
    """Query results by query. policy: the document that it was recorded for."""

    grid: Grid
    policy: dict[str, Any]
    answers: dict[str, Tracks] = field(default_factory=dict)

    def save(self, path: Path) -> None:
        """Write the file."""
        document = {
            "format": FORMAT,
            "start": self.grid.start,
            "step": self.grid.step,
            "count": self.grid.count,
            "policy": self.policy,
            "queries": [
                {"query": query, "series": [{"labels": dict(t.labels), "values": _written(t.values)} for t in tracks]}
                for query, tracks in self.answers.items()
            ],
        }
        text = json.dumps(document, separators=(",", ":"), allow_nan=False)
        path.write_bytes(gzip.compress(text.encode(), 6) if path.suffix == ".gz" else text.encode())

    @classmethod
    def load(cls, path: Path) -> Recording:
        """Read a file that `save` wrote. Raises UsageError."""
        try:
            raw = path.read_bytes()
            document = json.loads(gzip.decompress(raw) if path.suffix == ".gz" else raw)
        except OSError as error:
            raise UsageError(f"cannot read {path}: {error.strerror or error}") from None
        except (ValueError, EOFError) as error:
            raise UsageError(f"{path} is not a recording: {error}") from None
        if not isinstance(document, dict) or document.get("format") != FORMAT:
            raise UsageError(f"{path} is not a recording of this version ({FORMAT}): create one with --export")
        try:
            grid = Grid(float(document["start"]), float(document["step"]), int(document["count"]))
            answers = {
                entry["query"]: tuple(Track(s["labels"], _read(s["values"], grid.count)) for s in entry["series"])
                for entry in document["queries"]
            }
            return cls(grid, dict(document["policy"]), answers)
        except (KeyError, TypeError, ValueError) as error:
            raise UsageError(f"{path} is damaged: {error!r}") from None


def _written(values: Values) -> list[float | str | None]:
    return [v if v is None or math.isfinite(v) else _word(v) for v in values]


def _word(value: float) -> str:
    return "NaN" if math.isnan(value) else "+Inf" if value > 0 else "-Inf"


def _read(values: list[Any], count: int) -> Values:
    if len(values) != count:
        raise ValueError(f"a series has {len(values)} values instead of {count}")
    return [_WORDS[v] if isinstance(v, str) else v for v in values]
