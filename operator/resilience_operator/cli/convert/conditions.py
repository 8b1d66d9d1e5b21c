"""Converts success and failure conditions of Argo Rollouts (https://expr-lang.org) to thresholds that mean failure."""

from __future__ import annotations

import re
from dataclasses import dataclass

_SPLIT = re.compile(r"\s*(\|\||&&|\bor\b|\band\b)\s*")
_VALUE = r"(?:result(?:\[0\])?|(?:float|asFloat)\(result(?:\[0\])?\)|default\(result(?:\[0\])?,\s*[-\d.]+\))"
_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_COMPARISON = re.compile(rf"{_VALUE}\s*(<=|>=|==|<|>)\s*({_NUMBER})")
_REVERSED = re.compile(rf"({_NUMBER})\s*(<=|>=|==|<|>)\s*{_VALUE}")
_NO_VALUE = re.compile(
    r"!?\s*(?:isNaN|isInf|isNil)\([^()]*\)|len\(result\)\s*(?:==|!=|>|<=)\s*0|result\s*(?:==|!=)\s*nil|true"
)
_MIRRORED = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "==": "=="}


class ConditionError(ValueError):
    """The condition cannot be converted; the text says why."""


@dataclass(frozen=True, slots=True)
class Bound:
    """A failing range: `above` or `below` a number."""

    side: str
    value: float


def failing_bounds(condition: str, *, success: bool) -> tuple[list[Bound], bool, bool]:
    """Return the bounds, whether all must be crossed (else any), and whether parts about missing values were dropped.

    Raises ConditionError.
    """
    parts = _SPLIT.split(_without_brackets(condition))
    words = {"or" if word in ("||", "or") else "and" for word in parts[1::2]}
    bounds: list[Bound] = []
    gaps = False
    for part in parts[::2]:
        text = _without_brackets(part)
        if _NO_VALUE.fullmatch(text):
            gaps = True
            continue
        bounds.append(_bound(text, success))
    if not bounds:
        raise ConditionError("it compares no value with a number")
    if len(bounds) > 1 and len(words) > 1:
        raise ConditionError("it mixes `and` with `or`")
    # A success that needs both fails if either is missed.
    every = len(bounds) > 1 and (("or" in words) is success)
    return bounds, every, gaps


def _without_brackets(text: str) -> str:
    text = text.strip()
    return _without_brackets(text[1:-1]) if _outer(text) else text


def _outer(text: str) -> bool:
    """Whether one pair of brackets encloses the whole text."""
    if not (text.startswith("(") and text.endswith(")")):
        return False
    depth = 0
    for at, sign in enumerate(text):
        depth += (sign == "(") - (sign == ")")
        if depth == 0 and at < len(text) - 1:
            return False
    return True


def _bound(text: str, success: bool) -> Bound:
    if (found := _COMPARISON.fullmatch(text)) is not None:
        sign, number = found[1], float(found[2])
    elif (found := _REVERSED.fullmatch(text)) is not None:
        sign, number = _MIRRORED[found[2]], float(found[1])
    else:
        raise ConditionError(f"`{text[:80]}` is not a comparison of result[0] with a number")
    if number < 0:
        raise ConditionError("thresholds of a policy are not negative")
    if sign == "==":
        # `result[0] == 0` for errors: any more is a failure.
        if not success or number != 0:
            raise ConditionError("a policy does not compare for equality")
        return Bound("above", 0.0)
    upward = sign in (">", ">=")
    return Bound("above" if upward is not success else "below", number)
