"""Reading what a Prometheus-compatible server sends: bytes → Answer, with every way to be wrong told apart.

https://prometheus.io/docs/prometheus/latest/querying/api/#format-overview
One place parses JSON, so that a faster parser is a change of one line.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import orjson

from resilience_operator.resilience.errors import GiveUp, TryAgain
from resilience_operator.signals.sources.protocol import Answer, Series

_MOST_TEXT = 300
_CREDENTIALS = re.compile(r"(?i)\b(bearer|basic)\s+[\w.~+/=-]+")
_ANNOTATION = re.compile(r"^PromQL (info|warning):")
"""What the engine remarks on a query, as against what a querier says about missing data."""


_series: Callable[[tuple[Any, ...]], Series] = partial(tuple.__new__, Series)
"""A Series of its three fields, without a call of Python's for each of tens of thousands."""


def decode(body: bytes) -> Any:
    """JSON → Python. Raises ValueError."""
    return orjson.loads(body)


def sanitize(text: str) -> str:
    """A server's text, fit for a message: one line, not long, without what looks like credentials."""
    line = " ".join(_CREDENTIALS.sub(r"\1 …", text).split())
    return line if len(line) <= _MOST_TEXT else line[: _MOST_TEXT - 1] + "…"


def bad_answer(message: str, dependency: str) -> TryAgain:
    """What came is not an answer; the next one may be."""
    return TryAgain(message, dependency=dependency, reason="bad_answer")


def parse_document(body: bytes, dependency: str) -> Mapping[str, Any]:
    """The JSON object of a response. Raises TryAgain("bad_answer")."""
    try:
        found = decode(body)
    except (ValueError, RecursionError) as error:
        raise bad_answer(f"the answer of {len(body)} bytes is not JSON: {sanitize(str(error))}", dependency) from None
    if not isinstance(found, dict):
        raise bad_answer(f"the answer is a JSON {type(found).__name__}, not an object", dependency)
    return found


def result_series(found: Mapping[str, Any], dependency: str) -> list[Any]:
    """The series of a successful document, unread. Raises TryAgain("bad_answer"), GiveUp("bad_query")."""
    data = found.get("data")
    if found.get("status") != "success" or not isinstance(data, dict):
        raise bad_answer("the answer has no `data` of a successful query", dependency)
    kind, series = data.get("resultType"), data.get("result")
    if kind in ("matrix", "string"):
        raise GiveUp(
            f"the query answers a {kind}: it must answer an instant vector or a scalar",
            dependency=dependency,
            reason="bad_query",
        )
    if kind not in ("vector", "scalar") or not isinstance(series, list):
        raise bad_answer(f"the answer's resultType is {sanitize(repr(kind))}", dependency)
    return [{"metric": {}, "value": series}] if kind == "scalar" else series


def warnings(found: Mapping[str, Any]) -> tuple[str, ...]:
    """What the server says about data that is missing from the answer.

    Thanos, Mimir and remote reads put it into `warnings`, cluster VictoriaMetrics sets `isPartial`. The
    engine's own remarks on a query stand in the same list, or in `infos`, and do not mean that data is
    missing. Either field in a form that is not known counts as set: to take a part for the whole does harm.
    """
    told = found.get("warnings") or []
    said = [sanitize(str(w)) for w in (told if isinstance(told, list) else [told]) if not _ANNOTATION.match(str(w))]
    if found.get("isPartial"):
        said.append("the server marked the answer as partial")
    return tuple(said)


def series(raw: list[Any], dependency: str) -> list[Series]:
    """The series of an answer. Raises TryAgain("bad_answer"), GiveUp("bad_query")."""
    try:
        points = [s["value"] for s in raw]
        labels, values = [s["metric"] for s in raw], [float(point[1]) for point in points]
        return list(map(_series, zip(labels, values, [float(point[0]) for point in points], strict=True)))
    except KeyError:
        if any(isinstance(s, dict) and "histogram" in s for s in raw):
            raise GiveUp(
                "the query answers a native histogram: take a quantile or a rate of it",
                dependency=dependency,
                reason="bad_query",
            ) from None
        raise bad_answer("a series has no value", dependency) from None
    except (TypeError, ValueError, IndexError) as error:
        raise bad_answer(f"a series cannot be read: {sanitize(str(error))}", dependency) from None


def answer(found: Mapping[str, Any], dependency: str) -> Answer:
    """A whole document as an Answer."""
    return Answer(series(result_series(found, dependency), dependency), warnings(found))
