"""Answers of Prometheus that are well formed and wrong."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from tests.support.proxy import faults
from tests.support.proxy.rules import Fault

Data = dict[str, Any]


def data(change: Callable[[Data], object]) -> Fault:
    """The answer's `data` is changed."""

    def rewrite(body: bytes) -> bytes:
        document = json.loads(body)
        if isinstance(document.get("data"), dict):
            change(document["data"])
        return json.dumps(document).encode()

    return faults.rewrite(rewrite)


def values(value: str) -> Fault:
    """All values are this one."""

    def change(found: Data) -> None:
        for series in found["result"]:
            series["value"][1] = value

    return data(change)


def clock(seconds: float) -> Fault:
    """The source's clock is off by so much."""

    def change(found: Data) -> None:
        for series in found["result"]:
            series["value"][0] += seconds

    return data(change)
