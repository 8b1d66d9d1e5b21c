"""A metric source that reads its numbers from a file."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from resilience_operator.plugins import Answer, Deadline, Series, TryAgain


class NumbersSource:
    """The file is a JSON object: from a query's text to one number, or to a number for each pod.

    A query that it does not know has no series, which the operator tells as NoData.
    """

    def __init__(self, name: str, options: Mapping[str, Any]) -> None:
        self.name = name
        self._file = Path(options["file"])

    def query(self, promql: str, *, at: float | None = None, deadline: Deadline) -> Answer:
        """Read the file anew for each question."""
        try:
            numbers = json.loads(self._file.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise TryAgain(f"the file of numbers cannot be read: {error}", reason="bad_answer") from None
        found = numbers.get(promql, {})
        now = time.time() if at is None else at
        if isinstance(found, Mapping):
            return Answer([Series({"pod": pod}, float(number), now) for pod, number in found.items()])
        return Answer([Series({}, float(found), now)])

    def close(self) -> None:
        """Nothing is kept open."""
