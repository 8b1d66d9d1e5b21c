"""Real requests at a steady rate, one connection each, and what became of every one of them."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass

import aiohttp

TIMEOUT = 5.0
"""Seconds after which a user has gone."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One request: when it was sent (monotonic seconds), how long it took, the code (0: none), and who answered."""

    sent: float
    seconds: float
    code: int
    version: str

    @property
    def failed(self) -> bool:
        """Answered with an error, or not at all."""
        return not 200 <= self.code < 500


class Load:
    """Requests to one address, while the block lasts. The rate is what is sent, whatever comes back.

    wait: seconds that each request waits for something that is slow.
    """

    def __init__(self, url: str, rate: float) -> None:
        self.url, self.rate, self.wait = url, rate, 0.0
        self.answers: list[Answer] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._send()), daemon=True)

    def start(self) -> None:
        """Begin; it ends with the process, or where the block does."""
        self._thread.start()

    def __enter__(self) -> Load:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(TIMEOUT + 10)

    def since(self, moment: float) -> list[Answer]:
        """The requests sent at that monotonic moment or later, as far as they have ended."""
        return [answer for answer in tuple(self.answers) if answer.sent >= moment]

    async def _send(self) -> None:
        timeout = aiohttp.ClientTimeout(total=TIMEOUT)
        connector = aiohttp.TCPConnector(force_close=True, limit=0)
        async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session, asyncio.TaskGroup() as group:
            due = time.monotonic()
            while not self._stop.is_set():
                group.create_task(self._one(session))
                due = max(due + 1 / self.rate, time.monotonic() - 1)
                await asyncio.sleep(max(0.0, due - time.monotonic()))

    async def _one(self, session: aiohttp.ClientSession) -> None:
        sent, code, version = time.monotonic(), 0, ""
        try:
            async with session.get(self.url, params={"wait": self.wait} if self.wait else None) as answer:
                code, version = answer.status, (await answer.text()).strip()
        except (aiohttp.ClientError, TimeoutError, OSError):
            code = 0
        self.answers.append(Answer(sent, time.monotonic() - sent, code, version))


def percentile(answers: Iterable[Answer], share: float) -> float:
    """The duration (seconds) that `share` of the requests stayed within; 0 where there were none."""
    seconds = sorted(answer.seconds for answer in answers)
    return seconds[min(len(seconds) - 1, int(len(seconds) * share))] if seconds else 0.0
