"""Parses and formats durations and thresholds.

| written | means | unit |
|---|---|---|
| `70%` | 0.7 | ratio |
| `0.7`, 0.7, 1 | 0.7, 0.7, 1.0 | number: taken in the unit of the signal it is compared with |
| `800ms`, `1s`, `1m30s`, `2m` | 0.8, 1.0, 90.0, 120.0 | seconds |

Negative values, NaN and infinities are refused. The notation of durations is Go's, which is what Kubernetes
uses everywhere, without its micro- and nanoseconds and with the units in falling order.
"""

import re
from dataclasses import dataclass
from enum import StrEnum
from math import isfinite

DURATION_MAX_LENGTH = 48
"""Maximum characters; the pattern allows no more."""

THRESHOLD_MAX_LENGTH = 48
"""Maximum characters; the pattern allows no more. Shorter than any sentence that stands in the schema."""

_AMOUNT = r"[0-9]{1,6}(\.[0-9]{1,3})?"
DURATION_PATTERN = f"({_AMOUNT}h)?({_AMOUNT}m)?({_AMOUNT}s)?({_AMOUNT}ms)?"
"""The pattern of a nonempty duration, in the common syntax of RE2 and Python. No anchors."""

_NUMBER = r"[0-9]{1,12}(\.[0-9]{1,12})?%?"
THRESHOLD_PATTERN = f"{_NUMBER}|{DURATION_PATTERN}"
"""The pattern of a nonempty threshold written as a string. No anchors."""

DURATION_HINT = "write a number with a unit, like 30s, 2m, 1m30s or 800ms"
THRESHOLD_HINT = "write a ratio like 70% or 0.7, or a duration like 800ms or 1s"

_DURATION = re.compile(r"(?:([0-9.]+)h)?(?:([0-9.]+)m)?(?:([0-9.]+)s)?(?:([0-9.]+)ms)?")
_DURATION_FORM = re.compile(DURATION_PATTERN)
_NUMBER_FORM = re.compile(_NUMBER)
_UNIT_SECONDS = (3600.0, 60.0, 1.0, 0.001)


class QuantityError(ValueError):
    """The text is not a valid duration or threshold; the message says what to write."""


class Unit(StrEnum):
    """The unit of a number."""

    RATIO = "ratio"
    SECONDS = "seconds"
    NUMBER = "number"


@dataclass(frozen=True, slots=True)
class Threshold:
    """A bound in its base unit: 0.7 for `70%`, 0.8 for `800ms`.

    unit: how it was written. A ratio cannot be compared with a signal in seconds, or the reverse.
    """

    value: float
    unit: Unit

    def fits(self, unit: Unit) -> bool:
        """Whether a signal measured in `unit` can be compared with it; plain numbers go with everything."""
        return Unit.NUMBER in (self.unit, unit) or self.unit is unit

    def __str__(self) -> str:
        return str(format_threshold(self))


def parse_duration(text: object) -> float:
    """Parse a duration such as `1m30s` to seconds. Raises QuantityError."""
    if not isinstance(text, str) or not text or not _DURATION_FORM.fullmatch(text):
        raise QuantityError(f"{_shown(text)} is not a duration: {DURATION_HINT}")
    match = _DURATION.fullmatch(text)
    assert match is not None, "the form is the stricter of the two"
    # Summed in milliseconds, since 0.8 s + 0.1 s is not 0.9 s in binary.
    return sum(float(n) * unit * 1000 for n, unit in zip(match.groups(), _UNIT_SECONDS, strict=True) if n) / 1000


def parse_threshold(written: object) -> Threshold:
    """Parse a threshold, a string or a YAML number. Raises QuantityError."""
    if isinstance(written, int | float) and not isinstance(written, bool):
        if not isfinite(written) or written < 0:
            raise QuantityError(f"{_shown(written)} is not a threshold: {THRESHOLD_HINT}, zero or more")
        return Threshold(float(written), Unit.NUMBER)
    if isinstance(written, str):
        if _NUMBER_FORM.fullmatch(written):
            if written.endswith("%"):
                return Threshold(float(written[:-1]) / 100, Unit.RATIO)
            return Threshold(float(written), Unit.NUMBER)
        if written and _DURATION_FORM.fullmatch(written):
            return Threshold(parse_duration(written), Unit.SECONDS)
    raise QuantityError(f"{_shown(written)} is not a threshold: {THRESHOLD_HINT}")


def format_duration(seconds: float) -> str:
    """Format a duration, to the millisecond: 90.0 → `1m30s`, 0.8 → `800ms`, 0.0 → `0s`."""
    milliseconds = round(seconds * 1000)
    if milliseconds == 0:
        return "0s"
    parts: list[str] = []
    for name, size in (("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)):
        count, milliseconds = divmod(milliseconds, size)
        if count:
            parts.append(f"{count}{name}")
    return "".join(parts)


def format_threshold(threshold: Threshold) -> str:
    """Format a threshold exactly, so that `parse_threshold` can read it."""
    if threshold.unit is Unit.RATIO:
        return f"{_plain(threshold.value * 100)}%"
    if threshold.unit is Unit.SECONDS:
        return format_duration(threshold.value)
    return _plain(threshold.value)


def format_value(value: float, unit: str) -> str:
    """Format a measured value for people, to about three digits: a ratio 0.834 → `83.4%`, 0.045 s → `45ms`.

    unit: `ratio`, `seconds`, or anything else for a plain number. NaN and infinities are shown as such.
    """
    if not isfinite(value):
        return str(value)
    if unit == Unit.RATIO:
        # Near 100% the difference from it matters: 99.95% is not 100%.
        percent = value * 100
        return f"{_plain(100 - float(_short(100 - percent))) if 99 < percent < 100 else _short(percent)}%"
    if unit == Unit.SECONDS:
        size = abs(value)
        if size >= 60:
            return ("-" if value < 0 else "") + format_duration(round(size))
        if size >= 0.9995 or size == 0:
            return f"{_short(value)}s"
        return f"{_short(value * 1000)}ms"
    return _short(value)


def _short(value: float) -> str:
    """Format to three significant digits, or all before the point, never with an exponent."""
    if abs(value) >= 100:
        return f"{value:.0f}"
    return _plain(float(f"{value:.3g}"))


def _plain(value: float) -> str:
    """Format without exponent and trailing zeros, rounded to 12 places (which hides binary noise)."""
    text = f"{value:.12f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:59] + "…"
