"""The walls around plugins: whatever one does, its caller gets an answer or a failure by the deadline."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import pytest

from resilience_operator.plugins import ActionCall, Answer, Deadline, GiveUp, Notification, Series, TryAgain
from resilience_operator.plugins import discovery as d
from resilience_operator.plugins.actions import Actions, sentence
from resilience_operator.plugins.bulkhead import PluginRunner
from resilience_operator.plugins.config import NamespacedPluginConfig, NotifierConfig
from resilience_operator.plugins.failures import FailureReason, Kind, PluginFailed
from resilience_operator.plugins.notifiers import Notifiers
from resilience_operator.plugins.sources import checked, make_source
from resilience_operator.resilience import CallError, DeadlineExceeded, Retry, RetryPolicy

SHORT, LONG = 0.2, 10.0
"""Seconds that a test waits for what hangs."""


class Counted:
    """Takes down the failures that are told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str, str]] = []

    def __call__(self, kind: Kind, plugin: str, message: str, cause: BaseException | None) -> None:
        self.told.append((kind.value, plugin, message))


@pytest.fixture
def release() -> Iterator[threading.Event]:
    """Lets what hangs in a thread go, at the test's end."""
    event = threading.Event()
    yield event
    event.set()


def same(value: Any) -> Any:
    return value


async def give(value: Any = 7) -> Any:
    return value


async def stop_everything() -> None:
    raise SystemExit(3)


async def block_its_loop() -> None:
    time.sleep(LONG)  # as a careless coroutine does


def leave() -> None:
    raise SystemExit(3)


def iterate() -> None:
    raise StopIteration


async def wait_for_ever() -> None:
    await asyncio.Event().wait()


@pytest.mark.parametrize(
    ("function", "why"),
    [
        (leave, FailureReason.RAISED),
        (iterate, FailureReason.RAISED),
        (stop_everything, FailureReason.RAISED),
        (wait_for_ever, FailureReason.TIMED_OUT),
        (block_its_loop, FailureReason.TIMED_OUT),
        (lambda: give(1), FailureReason.NONSENSE),
    ],
    ids=["SystemExit", "StopIteration", "SystemExit in a coroutine", "hangs", "blocks", "a forgotten await"],
)
async def test_a_cell_contains(function: Callable[[], Any], why: FailureReason) -> None:
    counted = Counted()
    cell = PluginRunner(Kind.ACTION, "odd", on_failure=counted)
    before = time.monotonic()
    with pytest.raises(PluginFailed) as failure:
        await cell.call(
            function, check=same, deadline=Deadline.after(SHORT if why is FailureReason.TIMED_OUT else LONG)
        )
    assert failure.value.why is why
    assert time.monotonic() - before < LONG, "the operator's own loop stood still"
    assert len(counted.told) == 1


async def test_a_cell_answers() -> None:
    cell = PluginRunner(Kind.ACTION, "fine")
    assert await cell.call(give, 3, check=same, deadline=Deadline.after(5)) == 3
    assert await cell.call(lambda: 4, check=same, deadline=Deadline.after(5)) == 4


async def test_the_text_of_an_exception_is_not_repeated() -> None:
    def leak() -> None:
        raise RuntimeError("https://user:secret@example.org")

    with pytest.raises(PluginFailed, match="it raised RuntimeError") as failure:
        await PluginRunner(Kind.ACTION, "odd").call(leak, check=same, deadline=Deadline.after(5))
    assert "secret" not in str(failure.value)


async def test_what_hangs_keeps_its_place_and_no_more(release: threading.Event) -> None:
    cell = PluginRunner(Kind.SOURCE, "slow", places=2)
    for _ in range(2):
        with pytest.raises(PluginFailed) as failure:
            await cell.call(release.wait, check=same, deadline=Deadline.after(SHORT))
        assert failure.value.why is FailureReason.TIMED_OUT
    with pytest.raises(PluginFailed) as failure:
        await cell.call(lambda: 1, check=same, deadline=Deadline.after(SHORT))
    assert failure.value.why is FailureReason.BUSY
    release.set()
    assert await cell.call(lambda: 1, check=same, deadline=Deadline.after(5)) == 1


async def test_an_error_of_a_plugins_own_is_brought_into_bounds() -> None:
    class Odd(TryAgain):
        def __init__(self) -> None:
            super().__init__("x" * 10_000, reason="user 4711", retry_after=1e9)

    def fail() -> None:
        raise Odd

    with pytest.raises(TryAgain) as failure:
        await PluginRunner(Kind.SOURCE, "odd").call(fail, check=same, deadline=Deadline.after(5))
    assert type(failure.value) is TryAgain
    assert (failure.value.reason, failure.value.retry_after) == ("plugin", 120.0)
    assert len(failure.value.message) == 500


GOOD = Series({"pod": "a-1"}, 0.5, 100.0)


@pytest.mark.parametrize(
    "answer",
    [
        None,
        [],
        Answer("abc"),  # type: ignore[arg-type]
        Answer([({}, 1.0, 2.0)]),  # type: ignore[list-item]
        Answer([GOOD._replace(value="1")]),  # type: ignore[arg-type]
        Answer([GOOD._replace(value=True)]),
        Answer([GOOD._replace(labels={"pod": 1})]),  # type: ignore[dict-item]
        Answer([GOOD], warnings="partial"),  # type: ignore[arg-type]
        Answer([GOOD], warnings=(1,)),  # type: ignore[arg-type]
    ],
)
def test_no_answer(answer: object) -> None:
    with pytest.raises(ValueError, match=r"."):
        checked(answer)


def test_an_answer() -> None:
    assert checked(Answer([GOOD, GOOD._replace(value=float("nan"))])).series[0] == GOOD
    assert checked(Answer([GOOD._replace(value=1)])).series[0].value == 1.0


@pytest.mark.parametrize(("answer", "said"), [(None, ""), ("done", "done"), ("a\n b", "a b")])
def test_a_sentence(answer: object, said: str) -> None:
    assert sentence(answer) == said


@pytest.mark.parametrize("answer", [0, {}, b"x", True])
def test_no_sentence(answer: object) -> None:
    with pytest.raises(ValueError, match="an action must return a string or None"):
        sentence(answer)


class Entry:
    """An entry point that needs no package."""

    def __init__(self, name: str, factory: Callable[[str, Mapping[str, Any]], object] | Exception) -> None:
        self.name, self.factory, self.value = name, factory, f"tests:{name}"

    def load(self) -> Callable[[str, Mapping[str, Any]], object]:
        if isinstance(self.factory, Exception):
            raise self.factory
        return self.factory


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Install plugins by name, of whatever kind is asked for."""

    def put(**factories: Any) -> None:
        found = [Entry(name, factory) for name, factory in factories.items()]
        monkeypatch.setattr(d, "entry_points", lambda group: found)

    return put


class Fine:
    """An action, a source and a notifier in one, of which the options tell what it does."""

    def __init__(self, name: str, options: Mapping[str, Any]) -> None:
        if "bad" in options:
            raise ValueError("no such option")
        self.name, self.calls = name, []  # type: ignore[var-annotated]

    def run(self, call: ActionCall) -> str:
        self.calls.append(call.key)
        if len(self.calls) < int(call.arguments.get("fails", 0)) + 1:
            raise TryAgain("not now")
        return f"{self.name}: {call.arguments.get('said', '')}"

    async def query(self, promql: str, *, at: float | None = None, deadline: Deadline) -> Answer:
        return Answer([Series({}, float(promql), at or 0.0)])

    def notify(self, notification: Notification, deadline: Deadline) -> None:
        self.calls.append(notification.key)


CALL = ActionCall("k", "shop", "checkout", "busy", "Deployment", "checkout", 1.0, "busy", Deadline.after(3600))
NOTICE = Notification("k", "notice", 1.0, "shop", "checkout", "Deployment", "checkout", "Alert", "busy")
RETRY = Retry(RetryPolicy(base=0.001, cap=0.002, attempts=4))


async def test_actions_are_found_by_their_own_and_their_configured_names(install: Callable[..., None]) -> None:
    install(fine=Fine, broken=ImportError("x"), odd=lambda name, options: object())
    counted = Counted()
    actions = Actions(retry=RETRY, on_failure=counted)
    await actions.load(
        [
            NamespacedPluginConfig(name="other", type="fine"),
            NamespacedPluginConfig(name="bad", type="fine", options={"bad": 1}),
            NamespacedPluginConfig(name="shops", type="fine", namespaces=("shop", "shop-*")),
        ]
    )
    assert await actions.run("fine", replace(CALL, arguments={"said": "a"})) == "fine: a"
    assert await actions.run("other", replace(CALL, arguments={"fails": 2})) == "other:"
    assert actions.problem("fine", "shop") == ""
    assert "available: fine, other, shops" in actions.problem("none", "shop")
    assert "cannot be loaded: it raised ImportError" in actions.problem("broken", "shop")
    assert "has no method run" in actions.problem("odd", "shop")
    assert "its options are invalid: no such option" in actions.problem("bad", "shop")
    for name in ("none", "shops"):
        told = actions.problem(name, "team")
        assert told == f"no action plugin named {name} is installed for namespace team; available: fine, other"
    assert actions.problem("shops", "shop") == ""
    with pytest.raises(PluginFailed, match="for namespace team"):
        await actions.run("shops", replace(CALL, namespace="team"))
    assert {told[1] for told in counted.told} == {"bad", "other"}, "what nobody configured may be unloadable"
    with pytest.raises(PluginFailed):
        await actions.run("none", CALL)


async def test_a_failing_action_is_tried_again_with_the_same_key(install: Callable[..., None]) -> None:
    made: list[Fine] = []

    def factory(name: str, options: Mapping[str, Any]) -> Fine:
        made.append(Fine(name, options))
        return made[-1]

    install(fine=factory)
    actions = Actions(retry=RETRY)
    await actions.load(())
    with pytest.raises(TryAgain):
        await actions.run("fine", replace(CALL, arguments={"fails": 9}))
    assert made[0].calls == ["k"] * 4


async def test_a_hanging_action_ends_with_its_deadline(install: Callable[..., None], release: threading.Event) -> None:
    class Hangs(Fine):
        def run(self, call: ActionCall) -> str:
            release.wait()
            return ""

    install(hangs=Hangs)
    actions = Actions(retry=RETRY)
    await actions.load(())
    with pytest.raises(PluginFailed, match="did not respond"):
        await actions.run("hangs", replace(CALL, deadline=Deadline.after(SHORT)))


async def test_a_source_asks_its_plugin(install: Callable[..., None]) -> None:
    install(fine=Fine)
    source = await make_source(NamespacedPluginConfig(name="numbers", type="fine"), Counted())
    answer = await source.query("3", at=5.0, deadline=Deadline.after(5))
    assert answer.series == (Series({}, 3.0, 5.0),)
    with pytest.raises(GiveUp) as failure:
        await source.query("x", deadline=Deadline.after(5))
    assert failure.value.reason == "bad_answer"
    assert source.name == "numbers"
    await source.close()


async def test_a_source_without_its_plugin_says_so(install: Callable[..., None]) -> None:
    install()
    source = await make_source(NamespacedPluginConfig(name="numbers", type="none"), Counted())
    assert "no metric_source plugin named none is installed" in source.problem
    with pytest.raises(GiveUp, match="no metric_source plugin"):
        await source.query("x", deadline=Deadline.after(5))


async def test_a_hanging_source_may_be_asked_again_or_is_out_of_time(install: Callable[..., None]) -> None:
    class Hangs(Fine):
        async def query(self, promql: str, *, at: float | None = None, deadline: Deadline) -> Answer:
            await asyncio.Event().wait()
            raise AssertionError

    install(hangs=Hangs)
    source = await make_source(NamespacedPluginConfig(name="numbers", type="hangs"), Counted())
    with pytest.raises(DeadlineExceeded):
        await source.query("x", deadline=Deadline.after(SHORT))


async def test_notifiers_tell_in_order_and_one_that_hangs_holds_up_no_other(
    install: Callable[..., None], release: threading.Event
) -> None:
    made: list[Fine] = []

    def fine(name: str, options: Mapping[str, Any]) -> Fine:
        made.append(Fine(name, options))
        return made[-1]

    class Hangs(Fine):
        def notify(self, notification: Notification, deadline: Deadline) -> None:
            release.wait()

    install(fine=fine, hangs=Hangs)
    counted = Counted()
    notifiers = Notifiers(retry=RETRY, on_failure=counted)
    await notifiers.load([NotifierConfig(name=n, type=n) for n in ("hangs", "fine", "none")])
    assert [told[1] for told in counted.told] == ["none"]
    async with notifiers.working():
        for key in "abc":
            notifiers.enqueue(replace(NOTICE, key=key))
        for _ in range(500):
            if len(made[0].calls) == 3:
                break
            await asyncio.sleep(0.01)
        assert made[0].calls == ["a", "b", "c"]
        for _ in range(1100):
            notifiers.enqueue(NOTICE)
        assert any(plugin == "hangs" and "its queue is full" in message for _, plugin, message in counted.told)
        release.set()


async def test_what_is_called_off_when_its_time_is_over_counts() -> None:
    counted = Counted()
    cell = PluginRunner(Kind.SOURCE, "slow", on_failure=counted)
    moment = time.monotonic()
    overdue = Deadline(moment + SHORT, lambda: moment)
    task = asyncio.create_task(cell.call(wait_for_ever, check=same, deadline=overdue))
    await asyncio.sleep(0)
    moment += 2 * SHORT
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert len(counted.told) == 1


async def test_an_error_that_only_looks_like_one_is_contained() -> None:
    class Hollow(GiveUp):
        def __init__(self) -> None:
            pass

    def fail() -> None:
        raise Hollow

    with pytest.raises(PluginFailed, match="it raised Hollow"):
        await PluginRunner(Kind.ACTION, "odd").call(fail, check=same, deadline=Deadline.after(5))


async def test_a_source_may_say_how_much_it_bears(install: Callable[..., None]) -> None:
    class Wide(Fine):
        concurrency = 9

    class Odd(Fine):
        @property
        def concurrency(self) -> int:
            raise RuntimeError

    install(wide=Wide, odd=Odd)
    assert (await make_source(NamespacedPluginConfig(name="w", type="wide"), Counted())).concurrency == 9
    assert (await make_source(NamespacedPluginConfig(name="o", type="odd"), Counted())).concurrency == 4


def test_packages_that_cannot_be_read_are_none(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(group: str) -> object:
        raise ValueError(group)

    monkeypatch.setattr(d, "entry_points", broken)
    assert d.installed(Kind.ACTION) == {}


async def test_every_error_of_a_call_is_a_known_one() -> None:
    """So that a caller need not know of plugins: PluginFailed, or an error that says what to do."""

    def forbidden() -> None:
        raise GiveUp("no", reason="status_403")

    with pytest.raises(CallError) as failure:
        await PluginRunner(Kind.ACTION, "odd").call(forbidden, check=same, deadline=Deadline.after(5))
    assert failure.value.reason == "status_403"
