"""A bulkhead for one plugin: it runs in threads of its own and cannot block the operator's event loop.

A plain function gets one thread per call; coroutines share one event loop in one thread. At most `places` calls run
concurrently. A call that does not return keeps its place, even after its caller timed out. A plugin that hangs
therefore soon has no places left, and only its own callers wait, until their deadline. The threads are daemon threads,
so a hanging one does not block process exit.
"""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

from resilience_operator.plugins.failures import FailureReason, Kind, OnFailure, PluginFailed, ignore, sanitize
from resilience_operator.resilience import CallError, Deadline

MAX_CONCURRENCY = 4
"""Maximum concurrent calls of one plugin."""

Check = Callable[[Any], Any]
"""Validates and converts a plugin's answer. Raises ValueError if it is invalid. Runs in the plugin's thread."""


class _Outcome(NamedTuple):
    value: Any = None
    error: BaseException | None = None
    invalid_result: str = ""


class _FatalError(Exception):
    """Wraps an exception that would end a thread or an event loop."""


class PluginRunner:
    """The bulkhead of one plugin. name: the name in the configuration or in policies."""

    def __init__(self, kind: Kind, name: str, *, places: int = MAX_CONCURRENCY, on_failure: OnFailure = ignore) -> None:
        self.kind = kind
        self.name = name
        self._count = places
        self._places = asyncio.Semaphore(places)
        self._on_failure = on_failure
        self._loop: asyncio.AbstractEventLoop | None = None

    async def call(self, function: Callable[..., Any], *arguments: object, check: Check, deadline: Deadline) -> Any:
        """Return `check(function(*arguments))`.

        Raises PluginFailed, and CallErrors of the plugin with bounded text. Each failure is counted.
        """
        try:
            return await self._call(function, arguments, check, deadline)
        except PluginFailed as failure:
            self._on_failure(self.kind, self.name, failure.message, failure.__cause__)
            raise
        except CallError as error:
            self._on_failure(self.kind, self.name, str(error), None)
            raise
        except asyncio.CancelledError:
            # Cancelled. A caller whose deadline expired also cancels, which counts as a failure.
            if deadline.expired:
                self._on_failure(self.kind, self.name, "it did not respond in time", None)
            raise

    def fail(self, why: FailureReason, message: str) -> PluginFailed:
        """Count a failure that occurred outside a call."""
        self._on_failure(self.kind, self.name, message, None)
        return PluginFailed(why, message)

    def close(self) -> None:
        """Stop the thread of the coroutines when possible. Hanging threads end with the process."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._loop = None

    async def _call(
        self, function: Callable[..., Any], arguments: tuple[object, ...], check: Check, deadline: Deadline
    ) -> Any:
        seconds = deadline.remaining()
        placed = False
        try:
            async with asyncio.timeout(seconds):
                await self._places.acquire()
                placed = True
                start = self._start_coroutine if inspect.iscoroutinefunction(function) else self._start_thread
                outcome = await start(function, arguments, check)
        except TimeoutError:
            if placed:
                raise PluginFailed(FailureReason.TIMED_OUT, f"it did not respond within {seconds:.0f} s") from None
            busy = f"all of its {self._count} concurrent calls are still running"
            raise PluginFailed(FailureReason.BUSY, busy) from None
        if outcome.invalid_result:
            raise PluginFailed(FailureReason.NONSENSE, outcome.invalid_result)
        match outcome.error:
            case None:
                return outcome.value
            case CallError() as error if (known := sanitize(error, f"{self.kind}/{self.name}")) is not None:
                raise known from None
            case _FatalError(args=(BaseException() as cause,)) | cause:
                raise PluginFailed(FailureReason.RAISED, f"it raised {type(cause).__name__}") from cause

    def _start_thread(
        self, function: Callable[..., Any], arguments: tuple[object, ...], check: Check
    ) -> asyncio.Future[_Outcome]:
        answer: asyncio.Future[_Outcome] = asyncio.get_running_loop().create_future()

        def work() -> None:
            try:
                outcome = _checked(function(*arguments), check)
            except BaseException as error:
                outcome = _Outcome(error=error)
            self._settle(answer, outcome)

        threading.Thread(target=work, name=f"{self.kind}-{self.name}", daemon=True).start()
        return answer

    async def _start_coroutine(
        self, function: Callable[..., Awaitable[Any]], arguments: tuple[object, ...], check: Check
    ) -> _Outcome:
        answer: asyncio.Future[_Outcome] = asyncio.get_running_loop().create_future()
        loop = self._coroutines_loop()
        task: asyncio.Task[_Outcome] | None = None
        called_off = False

        async def contained() -> _Outcome:
            try:
                return _checked(await function(*arguments), check)
            except (SystemExit, KeyboardInterrupt) as error:
                raise _FatalError(error) from None

        def begin() -> None:
            nonlocal task
            task = loop.create_task(contained())
            task.add_done_callback(end)
            if called_off:
                task.cancel()

        def end(done: asyncio.Task[_Outcome]) -> None:
            if done.cancelled():
                self._settle(answer, _Outcome(error=asyncio.CancelledError()))
            elif (error := done.exception()) is not None:
                self._settle(answer, _Outcome(error=error))
            else:
                self._settle(answer, done.result())

        def call_off() -> None:
            nonlocal called_off
            called_off = True
            if task is not None:
                task.cancel()

        loop.call_soon_threadsafe(begin)
        try:
            return await answer
        except asyncio.CancelledError:
            loop.call_soon_threadsafe(call_off)
            raise

    def _settle(self, answer: asyncio.Future[_Outcome], outcome: _Outcome) -> None:
        """Called in the plugin's thread when the call has returned: frees its place."""

        def settle() -> None:
            self._places.release()
            if not answer.done():
                answer.set_result(outcome)

        try:
            answer.get_loop().call_soon_threadsafe(settle)
        except RuntimeError:
            return  # the operator has ended

    def _coroutines_loop(self) -> asyncio.AbstractEventLoop:
        if self._loop is None:
            loop = self._loop = asyncio.new_event_loop()

            def run() -> None:
                asyncio.set_event_loop(loop)
                try:
                    loop.run_forever()
                finally:
                    loop.close()

            threading.Thread(target=run, name=f"{self.kind}-{self.name}-loop", daemon=True).start()
        return self._loop


def _checked(value: object, check: Check) -> _Outcome:
    if inspect.iscoroutine(value):
        value.close()
        return _Outcome(invalid_result="it returned a coroutine: declare the method as `async def`")
    try:
        return _Outcome(value=check(value))
    except ValueError as error:
        return _Outcome(invalid_result=f"it returned an invalid answer: {error}")
