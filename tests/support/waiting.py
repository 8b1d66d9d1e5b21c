"""Waiting for states, never for times."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

PATIENCE = 120.0
"""Seconds after which a state that does not come is a failure. Long, since it is only paid by failures."""


class NeverCameError(AssertionError):
    """A state was waited for and did not come; the message tells the last one seen."""


def eventually(
    look: Callable[[], T],
    what: str,
    *,
    patience: float = PATIENCE,
    every: float = 0.25,
    last: Callable[[], object] = str,
) -> T:
    """`look()` until it is true, and return it. An exception in it counts as not yet, and is told in the end."""
    until = time.monotonic() + patience
    error: Exception | None = None
    while True:
        try:
            if found := look():
                return found
            error = None
        except AssertionError:
            raise
        except Exception as caught:
            error = caught
        if time.monotonic() > until:
            raise NeverCameError(f"never came: {what}. {error or last()}")
        time.sleep(every)


def throughout(
    look: Callable[[], bool],
    what: str,
    *,
    until: Callable[[], bool],
    patience: float = PATIENCE,
    last: Callable[[], object] = str,
) -> None:
    """`look()` stays true until `until()` is. A failure tells `last()`."""
    ends = time.monotonic() + patience
    while not until():
        assert look(), f"did not stay so: {what}. {last()}"
        assert time.monotonic() < ends, f"the end of the watch over «{what}» never came"
        time.sleep(0.1)
    assert look(), f"did not stay so: {what}. {last()}"
