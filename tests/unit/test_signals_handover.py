"""What threads give reaches the event loop: the last for all, and nothing waits long for what is slow."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

import pytest

from resilience_operator.signals.handover import Handover


async def test_what_all_threads_give_arrives() -> None:
    answers = Handover[int]()
    with ThreadPoolExecutor(4) as threads:
        for _ in range(50):
            futures = [answers.begin() for _ in range(40)]
            for number, future in enumerate(futures):
                threads.submit(answers.give, future, number)
            assert await asyncio.gather(*futures) == list(range(40))


async def test_the_loop_is_woken_once_for_what_ends_together(monkeypatch: pytest.MonkeyPatch) -> None:
    loop, answers = asyncio.get_running_loop(), Handover[int]()
    woken = 0
    wake = loop.call_soon_threadsafe

    def counted(*args: object) -> object:
        nonlocal woken
        woken += 1
        return wake(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(loop, "call_soon_threadsafe", counted)
    futures = [answers.begin() for _ in range(3)]
    for number, future in enumerate(futures):
        answers.give(future, number)
    assert woken == 1
    assert await asyncio.gather(*futures) == [0, 1, 2]


async def test_nothing_waits_for_one_that_never_ends() -> None:
    answers = Handover[str]()
    never, first = answers.begin(), answers.begin()
    with ThreadPoolExecutor(1) as threads:
        threads.submit(answers.give, first, "first")
        assert await first == "first"
        second, third = answers.begin(), answers.begin()
        threads.submit(answers.give, second, "second")
        assert await second == "second"  # by now it is known that others are slow
        threads.submit(answers.give, third, "third")
        assert await third == "third"
        assert not never.done()
        threads.submit(answers.give, never, "at last")
        assert await never == "at last"


async def test_errors_are_handed_over_and_who_left_is_left_alone() -> None:
    answers = Handover[str]()
    gone, failed = answers.begin(), answers.begin()
    gone.cancel()
    answers.give(gone, "too late")
    answers.give(failed, ValueError("broken"))
    with pytest.raises(ValueError, match="broken"):
        await failed
    assert gone.cancelled()
