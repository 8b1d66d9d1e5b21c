"""Reading a metrics page, and what a histogram counted between two of them."""

from __future__ import annotations

import math
import urllib.request

from prometheus_client.parser import text_string_to_metric_families

Labels = tuple[tuple[str, str], ...]


class Page:
    """The samples of one page."""

    def __init__(self, text: str) -> None:
        self._samples: dict[str, dict[Labels, float]] = {}
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                self._samples.setdefault(sample.name, {})[tuple(sorted(sample.labels.items()))] = sample.value

    def total(self, name: str, **labels: str) -> float:
        """The sum of a metric's series that carry these labels; 0 where there are none."""
        wanted = set(labels.items())
        return sum(v for found, v in self._samples.get(name, {}).items() if wanted <= set(found))

    def buckets(self, name: str) -> dict[float, float]:
        """Cumulative counts of a histogram by upper bound."""
        found: dict[float, float] = {}
        for labels, value in self._samples.get(f"{name}_bucket", {}).items():
            bound = float(dict(labels)["le"])
            found[bound] = found.get(bound, 0.0) + value
        return found


def fetch(url: str) -> Page:
    """A page over HTTP."""
    with urllib.request.urlopen(url, timeout=30) as answer:
        return Page(answer.read().decode())


def quantile(share: float, before: dict[float, float], after: dict[float, float]) -> float:
    """The quantile of what was counted in between, straight lines within a bucket, as `histogram_quantile` does.

    NaN when nothing was counted; the highest bound for what lies beyond it.
    """
    counts = {bound: after[bound] - before.get(bound, 0.0) for bound in sorted(after)}
    total = counts.get(math.inf, 0.0)
    if not total:
        return math.nan
    lower, below = 0.0, 0.0
    for bound, count in counts.items():
        if count >= share * total:
            if math.isinf(bound):
                return lower
            return lower + (bound - lower) * (share * total - below) / (count - below) if count > below else lower
        lower, below = bound, count
    return lower
