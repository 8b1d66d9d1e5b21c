"""Restricts custom queries to their tenant in a separate process, and caches each result.

The process is started on demand and stopped when idle; there is never more than one. Namespaces share it fairly. A
query that crashes the process, or exceeds its CPU time there, is rejected like one with a syntax error.
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
"""Wall-clock time-out for one query, including the start of the process. The effective limit is `process.CPU_SECONDS`.
"""
IDLE_SECONDS = 30.0
MAX_CHARACTERS = 16 << 20
"""Total size of all cached queries and results. The least recently used ones are dropped."""
FORGET_SECONDS = 60.0
"""Seconds for which a failure is cached that the machine may have caused and not the query."""
_LINE_LIMIT = 1 << 20

Key = tuple[str, str, str]
"""Query, label, value."""


class RewriterUnavailableError(Exception):
    """The process did not start or did not answer; the text says which."""


class Rewriter:
    """Rewrites custom queries before they are sent. One per operator process."""

    def __init__(self, clock: Clock = time.monotonic) -> None:
        self._clock = clock
        self._outcomes: OrderedDict[Key, str | TemplateError] = OrderedDict()
        self._unavailable: OrderedDict[Key, tuple[float, str]] = OrderedDict()
        self._characters = 0
        self._slots = FairSlots(1, 1)
        self._tasks: dict[Key, asyncio.Task[None]] = {}
        self._process: asyncio.subprocess.Process | None = None
        self._idle: asyncio.TimerHandle | None = None

    async def enforce(self, query: str, label: str, value: str) -> str:
        """`query` with `label="value"` in every selector. value: the namespace, for fair sharing.

        Raises TemplateError for a query that cannot be restricted, and RewriterUnavailableError. If the caller is
        cancelled, the work continues and its result is cached.
        """
        key = (query, label, value)
        if key not in self._outcomes:
            at, why = self._unavailable.get(key, (float("-inf"), ""))
            if self._clock() - at < FORGET_SECONDS:
                raise RewriterUnavailableError(why)
            task = self._tasks.get(key)
            if task is None:
                task = self._tasks[key] = asyncio.get_running_loop().create_task(self._run(key))
                task.add_done_callback(lambda _: self._tasks.pop(key, None))
            await asyncio.shield(task)
        found = self._outcomes.get(key)
        if found is None:
            raise RewriterUnavailableError(self._unavailable.get(key, (0.0, "it was stopped"))[1])
        self._outcomes.move_to_end(key)
        if isinstance(found, TemplateError):
            raise TemplateError(*found.args)
        return found

    async def close(self) -> None:
        """Stop the process and cancel the pending work."""
        for task in list(self._tasks.values()):
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)
        await self._end()

    async def _run(self, key: Key) -> None:
        async with self._slots.acquire(key[2]):
            if self._idle is not None:
                self._idle.cancel()
            try:
                async with asyncio.timeout(ANSWER_SECONDS):
                    self._remember(key, await self._parse(key))
            except (OSError, TimeoutError) as error:
                await self._end()
                why = "did not answer" if isinstance(error, TimeoutError) else f"could not be started: {error}"
                log.warning("a custom query of namespace %s was not checked: the parser process %s", key[2], why)
                self._unavailable[key] = self._clock(), f"the parser process {why}"
                while len(self._unavailable) > 1000:
                    self._unavailable.popitem(last=False)
            except BaseException:
                # A pending answer would be read as the answer to the next query.
                await self._end()
                raise
            self._idle = asyncio.get_running_loop().call_later(IDLE_SECONDS, self._retire)

    async def _parse(self, key: Key) -> str | TemplateError:
        running = await self._ensure_started()
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
        log.warning("the parser process exited with %s on a custom query of namespace %s", code, key[2])
        if code == -signal.SIGVTALRM:
            return TemplateError("the query takes too long to parse: make it shorter")
        if code in (-signal.SIGKILL, -signal.SIGTERM):  # an external kill, such as the node's OOM killer
            raise TimeoutError
        return TemplateError("the query cannot be read: the parser failed on it")

    async def _ensure_started(self) -> asyncio.subprocess.Process:
        if self._process is None or self._process.returncode is not None:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                process.__name__,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                # A panic prints to stderr; the process answers all the same.
                stderr=asyncio.subprocess.DEVNULL,
                env=_environment(),
                limit=_LINE_LIMIT,
                start_new_session=True,
            )
            assert self._process.stdout is not None
            if await self._process.stdout.readline() != process.READY:
                raise OSError(f"it exited with {await self._process.wait()}")
        return self._process

    async def _end(self) -> None:
        running, self._process = self._process, None
        if running is not None:
            if running.returncode is None:
                # Not `running.kill()`: it polls first, and so takes the exit status from asyncio.
                with contextlib.suppress(ProcessLookupError):
                    os.kill(running.pid, signal.SIGKILL)
            await running.wait()
            # The pipes belong to this loop and must be closed before it.
            getattr(running, "_transport").close()  # noqa: B009

    def _retire(self) -> None:
        """Stop the idle process by closing its input."""
        running, self._process = self._process, None
        if running is not None and running.stdin is not None:
            running.stdin.close()

    def _remember(self, key: Key, found: str | TemplateError) -> None:
        self._outcomes[key] = found
        self._characters += _size(key, found)
        while self._characters > MAX_CHARACTERS and len(self._outcomes) > 1:
            old, outcome = self._outcomes.popitem(last=False)
            self._characters -= _size(old, outcome)


def _environment() -> dict[str, str]:
    """Environment variables that the process needs, without any secret of this one."""
    kept = {name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH", "LANG", "TMPDIR") if name in os.environ}
    return {**kept, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "RUST_BACKTRACE": "0"}


def _size(key: Key, found: str | TemplateError) -> int:
    return len(key[0]) + len(str(found)) + 500
