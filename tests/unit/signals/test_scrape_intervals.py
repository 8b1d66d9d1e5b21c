"""How often targets are scraped decides how long a window must be."""

from __future__ import annotations

import pytest

from resilience_operator.signals.query.scrape_intervals import ScrapeIntervals, scrape_intervals
from resilience_operator.signals.sources.protocol import Answer, Series


def answer(**counts: float) -> Answer:
    return Answer(tuple(Series({"namespace": "shop", "owner": owner}, count, None) for owner, count in counts.items()))


def learned(**counts: float) -> ScrapeIntervals | None:
    return scrape_intervals("namespace", "owner")(answer(**counts))


def test_only_targets_that_differ_are_kept() -> None:
    found = learned(a=40, b=41, c=39, d=40, slow=10, fast=600)
    assert found is not None
    assert found.usual == 15.0
    assert found.others == {("shop", "slow"): 60.0, ("shop", "fast"): 1.0}


def test_an_answer_without_scrapes_tells_nothing() -> None:
    assert learned() is None
    assert learned(a=0) is None


@pytest.mark.parametrize(
    ("owners", "window", "wanted"),
    [
        pytest.param(["a"], 60.0, 60.0, id="four scrapes fit"),
        pytest.param(["a"], 30.0, 60.0, id="15 s need a minute"),
        pytest.param(["slow"], 120.0, 300.0, id="60 s need four minutes"),
        pytest.param(["slow"], 300.0, 300.0, id="enough already"),
        pytest.param(["fast"], 10.0, 10.0, id="faster than usual is not widened"),
        pytest.param(["a", "slow"], 120.0, 300.0, id="the slowest of its revisions counts"),
        pytest.param(["new"], 30.0, 60.0, id="unknown is scraped as usual"),
        pytest.param(["glacial"], 60.0, 600.0, id="at most the longest shared window"),
    ],
)
def test_a_window_holds_four_scrapes(owners: list[str], window: float, wanted: float) -> None:
    found = learned(a=40, b=40, slow=10, fast=600, glacial=1)
    assert found is not None
    assert found.widened(window, [("shop", owner) for owner in owners]) == wanted


def test_without_exceptions_no_key_is_needed() -> None:
    found = learned(a=10)
    assert found is not None
    assert found.widened(60.0, ()) == 300.0
