"""Learns how often targets are scraped, so that a window is never shorter than a few scrapes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from typing import NamedTuple

from resilience_operator.api.signals import SHARED_WINDOWS, shared_window
from resilience_operator.signals.query.extract import Key
from resilience_operator.signals.sources.protocol import Answer

SCRAPES_SECONDS = 600.0
"""The range over which scrapes are counted, and the time for which the answer is used."""

_SCRAPES_PER_WINDOW = 4
"""Scrapes that a window needs: a rate needs two samples, and one missed scrape must not create a gap."""

_TOLERANCE = 1.15
"""Ten samples in ten minutes may be eleven: a window that is nearly long enough is not widened."""


class ScrapeIntervals(NamedTuple):
    """The scrape intervals of one answer, in seconds. others: those of targets that differ from the usual one."""

    usual: float
    others: Mapping[Key, float]

    def widened(self, window: float, keys: Iterable[Key]) -> float:
        """The window in seconds for a target whose series have these keys: at least four scrapes.

        A target that is not in the answer is taken to be scraped as often as usual.
        """
        usual, others = self
        interval = max([others.get(key, usual) for key in keys], default=0.0) if others else usual
        needed = _SCRAPES_PER_WINDOW * interval
        if needed <= window * _TOLERANCE:
            return window
        return min(shared_window(needed / _TOLERANCE), SHARED_WINDOWS[-1])


@cache
def scrape_intervals(namespace: str, name: str) -> Callable[[Answer], ScrapeIntervals | None]:
    """An extractor for counts of scrapes, keyed by two labels. Cached: equal labels give the same function."""

    def extract(answer: Answer) -> ScrapeIntervals | None:
        counts = Counter(count for _, count, _ in answer.series if count >= 1)
        if not counts:
            return None
        usual = SCRAPES_SECONDS / counts.most_common(1)[0][0]
        others = {
            (labels.get(namespace, ""), labels.get(name, "")): SCRAPES_SECONDS / count
            for labels, count, _ in answer.series
            if count >= 1 and not usual / _TOLERANCE <= SCRAPES_SECONDS / count <= usual * _TOLERANCE
        }
        return ScrapeIntervals(usual, others)

    return extract
