"""Contract tests of all plugins: discovery, creation, protocol and deadline."""

from __future__ import annotations

import asyncio
import inspect
import re
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, TypeVar

import pytest

from resilience_operator.contract.options import Subject
from resilience_operator.plugins import ActionCall, Answer, CallError, Deadline, Notification
from resilience_operator.plugins.actions import sentence
from resilience_operator.plugins.bulkhead import PluginRunner
from resilience_operator.plugins.config import NAME
from resilience_operator.plugins.discovery import METHODS, UnavailablePlugin, installed, load
from resilience_operator.plugins.failures import Kind
from resilience_operator.plugins.notifiers import nothing
from resilience_operator.plugins.sources import checked

T = TypeVar("T")

TIME = 10.0
"""Seconds that the operator waits for a call."""


def with_plugin(subject: Subject, use: Callable[[Any, PluginRunner], Awaitable[T]]) -> T:
    """Create the plugin as the operator does, and run `use` on it."""

    async def run() -> T:
        cell = PluginRunner(subject.kind, subject.name)
        plugin = await load(cell, subject.name, subject.options)
        if isinstance(plugin, UnavailablePlugin):
            pytest.fail(plugin.message)
        try:
            return await use(plugin, cell)
        finally:
            cell.close()

    return asyncio.run(run())


def call(key: str, subject: Subject, seconds: float = TIME) -> ActionCall:
    """An example call of an action."""
    return ActionCall(
        key=key,
        namespace="contract",
        policy="checkout",
        rule="slow-requests",
        kind="Deployment",
        target="checkout",
        since=time.time(),
        message="plugin: latency-p99 is 1.4s (above 1s)",
        deadline=Deadline.after(seconds),
        arguments=subject.arguments,
    )


def notification(kind: str) -> Notification:
    """An example notification."""
    decision: dict[str, Any] = {
        "action": "scaleUp",
        "result": "Done",
        "rule": "slow-requests",
        "before": "3",
        "after": "5",
    }
    return Notification(
        key=f"contract/{kind}/{time.time()}",
        kind="decision" if kind == "decision" else "notice",
        at=time.time(),
        namespace="contract",
        policy="checkout",
        target_kind="Deployment",
        target="checkout",
        reason="RuleBreached" if kind == "decision" else "Alert",
        message="latency-p99 is 1.4s (above 1s): 3 → 5 pods",
        warning=kind != "decision",
        **(decision if kind == "decision" else {}),
    )


def test_its_name_can_stand_in_a_policy(subject: Subject) -> None:
    assert re.fullmatch(NAME, subject.name), "up to 63 lower-case letters, digits and '-'"


def test_it_is_made(subject: Subject) -> None:
    async def nothing_more(plugin: Any, cell: PluginRunner) -> None:
        assert callable(getattr(plugin, METHODS[subject.kind]))

    with_plugin(subject, nothing_more)


def test_several_can_be_made(subject: Subject) -> None:
    """An administrator may configure it twice, under two names."""
    factory = installed(subject.kind)[subject.name].load()
    one, other = factory("one", dict(subject.options)), factory("other", dict(subject.options))
    assert one is not other


def test_its_method_takes_what_it_is_given(subject: Subject) -> None:
    async def look(plugin: Any, cell: PluginRunner) -> None:
        signature = inspect.signature(getattr(plugin, METHODS[subject.kind]))
        match subject.kind:
            case Kind.ACTION:
                signature.bind("call")
            case Kind.NOTIFIER:
                signature.bind("notification", "deadline")
            case Kind.SOURCE:
                signature.bind("query", at=None, deadline="deadline")

    with_plugin(subject, look)


@pytest.mark.kind("action")
def test_an_action_answers_with_a_sentence_or_none(subject: Subject) -> None:
    async def act(plugin: Any, cell: PluginRunner) -> str:
        one = call(f"contract/{time.time()}", subject)
        said: str = await cell.call(plugin.run, one, check=sentence, deadline=one.deadline)
        return said

    with_plugin(subject, act)


@pytest.mark.kind("action")
def test_an_action_takes_the_same_key_again(subject: Subject) -> None:
    """After a crash of the operator, a call is repeated with the same key."""

    async def act(plugin: Any, cell: PluginRunner) -> None:
        key = f"contract/{time.time()}"
        for _ in range(2):
            await cell.call(plugin.run, call(key, subject), check=sentence, deadline=Deadline.after(TIME))

    with_plugin(subject, act)


@pytest.mark.kind("action")
def test_an_action_ends_when_its_time_is_over(subject: Subject) -> None:
    """It may fail then, but must not hang."""

    async def act(plugin: Any, cell: PluginRunner) -> None:
        one = call(f"contract/{time.time()}", subject, seconds=0.0)
        try:
            await cell.call(plugin.run, one, check=sentence, deadline=Deadline.after(TIME))
        except CallError:
            return

    with_plugin(subject, act)


@pytest.mark.kind("metric_source")
def test_a_source_answers_with_series(subject: Subject) -> None:
    async def ask(plugin: Any, cell: PluginRunner) -> Answer:
        deadline = Deadline.after(TIME)
        answer: Answer = await cell.call(_query(plugin, deadline), subject.query, check=checked, deadline=deadline)
        return answer

    answer = with_plugin(subject, ask)
    for series in answer.series:
        assert abs(series.at - time.time()) < 60, "the time of evaluation, in seconds since the epoch"


@pytest.mark.kind("metric_source")
def test_a_source_answers_about_another_time(subject: Subject) -> None:
    async def ask(plugin: Any, cell: PluginRunner) -> None:
        deadline = Deadline.after(TIME)
        await cell.call(_query(plugin, deadline, at=time.time() - 60), subject.query, check=checked, deadline=deadline)

    with_plugin(subject, ask)


@pytest.mark.kind("metric_source")
def test_a_source_is_asked_several_things_at_once(subject: Subject) -> None:
    async def ask(plugin: Any, cell: PluginRunner) -> None:
        deadline = Deadline.after(TIME)
        await asyncio.gather(
            *(cell.call(_query(plugin, deadline), subject.query, check=checked, deadline=deadline) for _ in range(8))
        )

    with_plugin(subject, ask)


@pytest.mark.kind("metric_source")
def test_a_source_refuses_a_query_by_saying_what_to_do(subject: Subject) -> None:
    """An invalid query returns no series, or raises GiveUp or TryAgain and no other exception."""

    async def ask(plugin: Any, cell: PluginRunner) -> None:
        deadline = Deadline.after(TIME)
        try:
            await cell.call(_query(plugin, deadline), "}{ no query", check=checked, deadline=deadline)
        except CallError:
            return

    with_plugin(subject, ask)


@pytest.mark.kind("metric_source")
def test_a_source_closes(subject: Subject) -> None:
    async def close(plugin: Any, cell: PluginRunner) -> None:
        if callable(getattr(plugin, "close", None)):
            await cell.call(plugin.close, check=nothing, deadline=Deadline.after(TIME))

    with_plugin(subject, close)


@pytest.mark.kind("notifier")
@pytest.mark.parametrize("kind", ["decision", "notice"])
def test_a_notifier_tells(subject: Subject, kind: str) -> None:
    async def send(plugin: Any, cell: PluginRunner) -> None:
        deadline = Deadline.after(TIME)
        await cell.call(plugin.notify, notification(kind), deadline, check=nothing, deadline=deadline)

    with_plugin(subject, send)


def _query(plugin: Any, deadline: Deadline, at: float | None = None) -> Callable[..., Any]:
    return partial(plugin.query, at=at, deadline=deadline)
