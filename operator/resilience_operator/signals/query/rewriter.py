"""Holds custom queries to their tenant, in a process of its own, and remembers each outcome.

One process at a time, started when there is something to parse and ended when it is idle. Namespaces take turns. A
query that ends the process, or exceeds its CPU time there, is refused like one that cannot be parsed.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import signal
import sys
import time
from collections import OrderedDict

from resilience_operator.promql import process
from resilience_operator.promql.errors import TemplateError
from resilience_operator.resilience.deadline import Clock
from resilience_operator.signals.query.slots import FairSlots

log = logging.getLogger(__name__)

ANSWER_SECONDS = 20.0
"""Wall time for one query, start of the process included. The limit that counts is `process.CPU_SECONDS`."""
IDLE_SECONDS = 30.0
MAX_CHARACTERS = 16 << 20
"""Of all queries and outcomes that are remembered; the ones used least recently are dropped."""
FORGET_SECONDS = 60.0
"""How long an outcome is remembered that may be the machine's fault and not the query's."""
_LINE_LIMIT = 1 << 20

Key = tuple[str, str, str]
"""Query, label, value."""


class RewriterUnavailableError(Exception):
    """The process could not be started or did not answer; the text says which."""


class Rewriter:
    """Gives the text to send for a custom query. One for the process."""

    def __init__(self, clock: Clock = time.monotonic) -> None:
        self._clock = clock
        self._outcomes: OrderedDict[Key, str | TemplateError] = OrderedDict()
        self._unavailable: OrderedDict[Key, tuple[float, str]] = OrderedDict()
        self._characters = 0
        self._turns = FairSlots(1, 1)
        self._tasks: dict[Key, asyncio.Task[None]] = {}
        self._process: asyncio.subprocess.Process | None = None
        self._idle: asyncio.TimerHandle | None = None

    async def enforce(self, query: str, label: str, value: str) -> str:
        """`query` with `label="value"` in every selector. value: the namespace, whose turn it is.

        Raises TemplateError for a query that cannot be held to it, RewriterUnavailableError. If the caller is
        cancelled, the work goes on and its outcome is remembered.
        """
        key = (query, label, value)
        if key not in self._outcomes:
            at, why = self._unavailable.get(key, (float("-inf"), ""))
            if self._clock() - at < FORGET_SECONDS:
                raise RewriterUnavailableError(why)
            task = self._tasks.get(key)
            if task is None:
                task = self._tasks[key] = asyncio.get_running_loop().create_task(self._work(key))
                task.add_done_callback(lambda _: self._tasks.pop(key, None))
            await asyncio.shield(task)
        found = self._outcomes.get(key)
        if found is None:
            raise RewriterUnavailableError(self._unavailable.get(key, (0.0, "it was ended"))[1])
        self._outcomes.move_to_end(key)
        if isinstance(found, TemplateError):
            raise TemplateError(*found.args)
        return found

    async def close(self) -> None:
        """End the process and drop what waits for it."""
        for task in list(self._tasks.values()):
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)
        await self._end()

    async def _work(self, key: Key) -> None:
        async with self._turns.acquire(key[2]):
            if self._idle is not None:
                self._idle.cancel()
            try:
                async with asyncio.timeout(ANSWER_SECONDS):
                    self._remember(key, await self._asked(key))
            except (OSError, TimeoutError) as error:
                await self._end()
                why = "did not answer" if isinstance(error, TimeoutError) else f"cannot be started: {error}"
                log.warning("a custom query of namespace %s was not checked: the parser's process %s", key[2], why)
                self._unavailable[key] = self._clock(), f"the parser's process {why}"
                while len(self._unavailable) > 1000:
                    self._unavailable.popitem(last=False)
            except BaseException:
                # An answer that nobody waits for would be taken for the next one's.
                await self._end()
                raise
            self._idle = asyncio.get_running_loop().call_later(IDLE_SECONDS, self._retire)

    async def _asked(self, key: Key) -> str | TemplateError:
        running = await self._started()
        assert running.stdin is not None and running.stdout is not None
        try:
            running.stdin.write(json.dumps(key).encode() + b"\n")
            await running.stdin.drain()
            line = await running.stdout.readline()
        except (ConnectionError, ValueError):
            line = b""
        if line.endswith(b"\n"):
            text, fault = json.loads(line)
            return TemplateError(fault) if text is None else str(text)
        code = await running.wait()
        await self._end()
        log.warning("the parser's process ended with %s over a custom query of namespace %s", code, key[2])
        if code == -signal.SIGVTALRM:
            return TemplateError("the query takes too long to parse: make it shorter")
        if code in (-signal.SIGKILL, -signal.SIGTERM):  # not by us: the node is out of memory, perhaps
            raise TimeoutError
        return TemplateError("the query cannot be read: the parser failed on it")

    async def _started(self) -> asyncio.subprocess.Process:
        if self._process is None or self._process.returncode is not None:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                process.__name__,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                # A panic prints there, and is answered all the same.
                stderr=asyncio.subprocess.DEVNULL,
                env=_environment(),
                limit=_LINE_LIMIT,
                start_new_session=True,
            )
            assert self._process.stdout is not None
            if await self._process.stdout.readline() != process.READY:
                raise OSError(f"it ended with {await self._process.wait()}")
        return self._process

    async def _end(self) -> None:
        running, self._process = self._process, None
        if running is not None:
            if running.returncode is None:
                # Not `running.kill()`: it polls first, and takes the exit status from asyncio.
                with contextlib.suppress(ProcessLookupError):
                    os.kill(running.pid, signal.SIGKILL)
            await running.wait()
            # Its pipes belong to this loop, and are closed before it is.
            getattr(running, "_transport").close()  # noqa: B009

    def _retire(self) -> None:
        """End the idle process: it reads the end of its input."""
        running, self._process = self._process, None
        if running is not None and running.stdin is not None:
            running.stdin.close()

    def _remember(self, key: Key, found: str | TemplateError) -> None:
        self._outcomes[key] = found
        self._characters += _weight(key, found)
        while self._characters > MAX_CHARACTERS and len(self._outcomes) > 1:
            old, outcome = self._outcomes.popitem(last=False)
            self._characters -= _weight(old, outcome)


def _environment() -> dict[str, str]:
    """What the process needs to run, and no secret that this one was given."""
    kept = {name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH", "LANG", "TMPDIR") if name in os.environ}
    return {**kept, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "RUST_BACKTRACE": "0"}


def _weight(key: Key, found: str | TemplateError) -> int:
    return len(key[0]) + len(str(found)) + 500
