"""Parses responses of a Prometheus-compatible server: bytes → Answer, with a distinct error for each kind of fault.

https://prometheus.io/docs/prometheus/latest/querying/api/#format-overview
JSON is parsed in one function only, so that the parser can be replaced easily.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import orjson

from resilience_operator.resilience.errors import GiveUp, TryAgain
from resilience_operator.signals.sources.protocol import NATIVE, Answer, Series

_MAX_TEXT = 300
_CREDENTIALS = re.compile(r"(?i)\b(bearer|basic)\s+[\w.~+/=-]+")
_ANNOTATION = re.compile(r"^PromQL (info|warning):")
"""Remarks of the PromQL engine on a query, as opposed to a querier's warnings about missing data."""


_series: Callable[[tuple[Any, ...]], Series] = partial(tuple.__new__, Series)
"""Builds a Series from its three fields, without a Python-level call for each of tens of thousands."""


def decode(body: bytes) -> Any:
    """Parse JSON. Raises ValueError."""
    return orjson.loads(body)


def sanitize(text: str) -> str:
    """A server's text for use in a message: one line, limited length, without anything that looks like credentials."""
    line = " ".join(_CREDENTIALS.sub(r"\1 …", text).split())
    return line if len(line) <= _MAX_TEXT else line[: _MAX_TEXT - 1] + "…"


def bad_answer(message: str, dependency: str) -> TryAgain:
    """The error for a response that is not a valid answer. Retryable: the next one may be valid."""
    return TryAgain(message, dependency=dependency, reason="bad_answer")


def parse_document(body: bytes, dependency: str) -> Mapping[str, Any]:
    """The JSON object of a response. Raises TryAgain("bad_answer")."""
    try:
        found = decode(body)
    except (ValueError, RecursionError) as error:
        raise bad_answer(f"the response of {len(body)} bytes is not JSON: {sanitize(str(error))}", dependency) from None
    if not isinstance(found, dict):
        raise bad_answer(f"the response is a JSON {type(found).__name__}, not an object", dependency)
    return found


def result_series(found: Mapping[str, Any], dependency: str) -> list[Any]:
    """The series of a successful document, not yet parsed. Raises TryAgain("bad_answer"), GiveUp("bad_query")."""
    data = found.get("data")
    if found.get("status") != "success" or not isinstance(data, dict):
        raise bad_answer("the response has no `data` of a successful query", dependency)
    kind, series = data.get("resultType"), data.get("result")
    if kind in ("matrix", "string"):
        raise GiveUp(
            f"the query returns a {kind}: it must return an instant vector or a scalar",
            dependency=dependency,
            reason="bad_query",
        )
    if kind not in ("vector", "scalar") or not isinstance(series, list):
        raise bad_answer(f"the resultType of the response is {sanitize(repr(kind))}", dependency)
    return [{"metric": {}, "value": series}] if kind == "scalar" else series


def warnings(found: Mapping[str, Any]) -> tuple[str, ...]:
    """The server's warnings about data missing from the answer.

    Thanos, Mimir and remote reads put them into `warnings`; VictoriaMetrics in cluster mode sets `isPartial`. The
    engine's own remarks on a query are in the same list or in `infos` and do not mean missing data. A field of an
    unknown form counts as set: using a partial answer as complete does harm.
    """
    reported = found.get("warnings") or []
    messages = [
        sanitize(str(w))
        for w in (reported if isinstance(reported, list) else [reported])
        if not _ANNOTATION.match(str(w))
    ]
    if found.get("isPartial"):
        messages.append("the server marked the answer as partial")
    return tuple(messages)


def series(raw: list[Any], dependency: str) -> list[Series]:
    """The parsed series of an answer. Raises TryAgain("bad_answer"), GiveUp("bad_query")."""
    try:
        points = [s["value"] for s in raw]
        labels, values = [s["metric"] for s in raw], [float(point[1]) for point in points]
        return list(map(_series, zip(labels, values, [float(point[0]) for point in points], strict=True)))
    except KeyError:
        try:
            return [
                point
                for s in raw
                for point in (histogram_series(s["metric"], *s["histogram"]) if "histogram" in s else [_point(s)])
            ]
        except (KeyError, TypeError, ValueError, IndexError, AttributeError):
            raise bad_answer("a series has no value", dependency) from None
    except (TypeError, ValueError, IndexError) as error:
        raise bad_answer(f"a series cannot be parsed: {sanitize(str(error))}", dependency) from None


def _point(raw: Mapping[str, Any]) -> Series:
    return _series((raw["metric"], float(raw["value"][1]), float(raw["value"][0])))


def matrix(found: Mapping[str, Any], dependency: str) -> Answer:
    """Parse the answer to a range query: one Series per point. Raises TryAgain("bad_answer")."""
    data = found.get("data")
    if found.get("status") != "success" or not isinstance(data, dict) or data.get("resultType") != "matrix":
        raise bad_answer("the response is not a range vector", dependency)
    points: list[Series] = []
    try:
        for one in data.get("result") or []:
            labels = one["metric"]
            points += [_series((labels, float(value), float(at))) for at, value in one.get("values", ())]
            for at, histogram in one.get("histograms", ()):
                points += histogram_series(labels, at, histogram)
    except (KeyError, TypeError, ValueError, IndexError, AttributeError):
        raise bad_answer("a series cannot be parsed", dependency) from None
    return Answer(points, warnings(found))


def histogram_series(metric: Mapping[str, str], at: float, histogram: Mapping[str, Any]) -> list[Series]:
    """A native histogram as cumulative buckets with the label `le`, like those of a classic one.

    Both bounds of each bucket are listed, because buckets without observations are not.
    https://prometheus.io/docs/prometheus/latest/querying/api/#native-histograms
    """
    labels = {**metric, NATIVE: "true"}
    found: dict[float, float] = {}
    total = 0.0
    for _, low, high, count in sorted(histogram.get("buckets") or [], key=lambda bucket: float(bucket[2])):
        found.setdefault(float(low), total)
        total += float(count)
        found[float(high)] = total
    found[math.inf] = float(histogram["count"])
    return [_series(({**labels, "le": f"{bound:.17g}"}, count, float(at))) for bound, count in found.items()]


def answer(found: Mapping[str, Any], dependency: str) -> Answer:
    """Parse a whole document into an Answer. Raises as `series`."""
    return Answer(series(result_series(found, dependency), dependency), warnings(found))
