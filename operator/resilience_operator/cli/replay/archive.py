"""Query results of a replay: from Prometheus, stored as they arrive, or from a recording."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence

from resilience_operator.cli.common.console import UsageError
from resilience_operator.cli.replay.range_client import RangeSource
from resilience_operator.cli.replay.recording import Recording, Track, Tracks
from resilience_operator.cli.replay.time_grid import Span
from resilience_operator.promql.tenancy import enforce
from resilience_operator.resilience import Deadline

TIMEOUT = 900.0
"""Maximum seconds for all queries of one replay."""


class Archive:
    """Query results by query. source: None if there is only a recording."""

    def __init__(self, recording: Recording, source: RangeSource | None = None) -> None:
        self.recording = recording
        self._source = source
        self._deadline = Deadline.after(TIMEOUT)

    @property
    def warnings(self) -> list[str]:
        """The source's warnings about missing data."""
        return sorted(self._source.warnings) if self._source is not None else []

    async def query(
        self, queries: Iterable[str], spans: Sequence[Span] | None = None, *, tenant: str = ""
    ) -> dict[str, Tracks]:
        """The result of each query, over the whole grid or some `spans` of it.

        tenant: the namespace to which custom queries are restricted, if the source isolates namespaces, as in the
            operator. Raises CallError, UsageError, TemplateError.
        """
        wanted = list(dict.fromkeys(queries))
        known = self.recording.answers
        asked = [query for query in wanted if query not in known]
        answers = await asyncio.gather(
            *(self._ask(query, spans or [self.recording.grid.whole], tenant) for query in asked)
        )
        known.update(zip(asked, answers, strict=True))
        return {query: known[query] for query in wanted}

    async def _ask(self, query: str, spans: Sequence[Span], tenant: str) -> Tracks:
        if self._source is None:
            raise UsageError(
                f"the recording has no result for a query of this policy ({query[:80]}…): its signals or windows "
                "changed since the recording; export it again"
            )
        grid = self.recording.grid
        text = query
        if tenant and self._source.tenant_label:
            # In a thread: a parser that loops must not block the others.
            text = await asyncio.to_thread(enforce, query, self._source.tenant_label, tenant)
        parts = [await self._source.query(text, grid, span, self._deadline) for span in spans]
        found: dict[tuple[tuple[str, str], ...], Track] = {}
        for track in (track for part in parts for track in part):
            key = tuple(sorted(track.labels.items()))
            if key in found:
                for number, value in enumerate(track.values):
                    if value is not None:
                        found[key].values[number] = value
            else:
                found[key] = track
        return tuple(found.values())
