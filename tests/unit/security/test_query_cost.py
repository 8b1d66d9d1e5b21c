"""What custom queries may cost before they are sent: bounds that one scan enforces, and a parser that blocks nobody."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import time
from collections.abc import AsyncIterator, Callable

import promql_parser
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resilience_operator.api.v1alpha1 import InvalidPolicy, parse_policy
from resilience_operator.promql import process, scanner, syntax
from resilience_operator.promql.errors import TemplateError
from resilience_operator.resilience.deadline import Deadline
from resilience_operator.signals.collector import SignalCollector
from resilience_operator.signals.model import Signal, SignalRequest
from resilience_operator.signals.query.rewriter import Rewriter, RewriterUnavailableError
from resilience_operator.signals.sources.protocol import Answer, Series
from resilience_operator.signals.sources.registry import SourceRegistry
from tests.support.observed import observed

MOST = 4096
"""Characters of a query, as the schema has it."""

ATTACKS = {
    "comment that ends at a carriage return": "up #\r" + "+up " * 1020,
    "operators": "+".join(["1"] * 298),
    "more operators": "+".join(["1"] * 2000),
    "signs": "-" * 4000 + "up",
    "set operators": " or ".join(["up"] * 600),
    "string of quotes": '\\"' * 2040 + '"',
    "unterminated string": '"' + '\\"' * 2040,
    "quotes": '"' * 4001,
    "back quotes": "`" * 4001,
    "back quotes and backslashes": "`\\" * 2000,
    "parentheses": "(" * 1500 + "up" + ")" * 1500,
    "open parentheses": "(" * 4000,
    "functions": "abs(" * 149 + "up" + ")" * 149,
    "subqueries": "max_over_time(" * 140 + "up" + "[1m:])" * 140,
    "a long number": "9" * 4000,
    "a long exponent": "1e" + "9" * 4000,
    "powers": "^".join(["2"] * 290),
    "matchers": "up{" + ",".join(f'a{i}="b"' for i in range(400)) + "}",
    "labels": "sum by (" + ",".join(["a"] * 1800) + ") (up)",
    "arguments": "label_join(up," + ",".join(['"c"'] * 900) + ")",
    "a time before the epoch": "up @ -1.5",
    "a panic in each": " + ".join(["up @ -1.5"] * 140),
    "comments": "#\n" * 2000 + "up",
    "words": "or " * 1300,
    "placeholders": '{x="' + "{{pods}}" * 500 + '"}',
}


class Source:
    """A source with tenancy that answers everything at once."""

    name = "default"
    tenant_label = "namespace"

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def query(self, promql: str, *, at: float | None = None, deadline: Deadline) -> Answer:
        self.asked.append(promql)
        return Answer([Series({}, 1.0, time.time())])

    async def close(self) -> None: ...


@pytest.fixture
async def collector() -> AsyncIterator[SignalCollector]:
    found = SignalCollector(SourceRegistry({"default": Source()}))
    yield found
    await found.close()


def requests(*queries: str, samples: bool = False, namespace: str = "tenant-a") -> list[SignalRequest]:
    return [
        SignalRequest(
            namespace,
            "web",
            "Deployment",
            {f"web-{n}": str(n) for n in range(5)},
            Signal(f"s{number}", query=query, samples_query=query if samples else ""),
        )
        for number, query in enumerate(queries)
    ]


async def reasons(collector: SignalCollector, asked: list[SignalRequest]) -> list[str]:
    found = await observed(collector, asked, now=time.time(), deadline=Deadline.after(60.0))
    return [observation.reason for observation in found]


async def longest_step(work: Callable[[], object]) -> float:
    """CPU seconds of this thread between two rounds of the event loop, at most: what others had to wait for."""
    longest, ended = 0.0, False

    async def tick() -> None:
        nonlocal longest
        while not ended:
            before = time.thread_time()
            await asyncio.sleep(0)
            longest = max(longest, time.thread_time() - before)

    gc.collect()
    gc.disable()  # of a heap full of other tests' objects
    ticking = asyncio.create_task(tick())
    try:
        await work()  # type: ignore[misc]
    finally:
        ended = True
        gc.enable()
        await ticking
    return longest


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS)
async def test_no_query_holds_the_event_loop_up(attack: str, collector: SignalCollector) -> None:
    """64 signals of each, query and samplesQuery: no step of the loop is long, and a neighbour is answered.

    The bound is generous: 15 ms are usual, and it is up to 20 s where these are parsed on the loop.
    """
    asked = requests(*[attack[:MOST] for _ in range(64)], samples=True)
    for number, request in enumerate(asked):  # each a text of its own
        object.__setattr__(request.signal, "query", f"{request.signal.query} # {number}")
    neighbour = requests("up", namespace="tenant-b")
    answers: list[list[str]] = []

    async def work() -> None:
        answers.extend(await asyncio.gather(reasons(collector, asked), reasons(collector, neighbour)))

    assert await longest_step(work) < 0.1
    assert answers[1] == [""]
    # The second time, every outcome is remembered.
    steps = time.thread_time()
    assert await reasons(collector, asked) == answers[0]
    assert time.thread_time() - steps < 0.5


async def test_nothing_is_parsed_in_this_process(collector: SignalCollector, monkeypatch: pytest.MonkeyPatch) -> None:
    def parse(query: str) -> promql_parser.Expr:
        raise AssertionError("parsed where the event loop is")

    monkeypatch.setattr(promql_parser, "parse", parse)
    assert await reasons(collector, requests("up", "up{", "up @ -1.5")) == ["", "BadQuery", "BadQuery"]


async def test_a_panic_is_told_and_prints_nothing(
    collector: SignalCollector, capfd: pytest.CaptureFixture[str]
) -> None:
    assert await reasons(collector, requests("up @ -1.5")) == ["BadQuery"]
    assert capfd.readouterr().err == ""


async def test_a_policy_is_bounded_as_a_whole(collector: SignalCollector) -> None:
    queries = [f"{n} + " + "+".join(["up"] * 200) for n in range(16)]
    found = await observed(collector, requests(*queries), now=time.time(), deadline=Deadline.after(60.0))
    assert {o.reason for o in found} == {"BadQuery"}
    assert (
        "more than 3000 operators, brackets and matchers together: shorten them, or split the policy"
        in found[0].message
    )
    assert set(await reasons(collector, requests(*queries[:15]))) == {""}


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ("up #\r" + "+up " * 1000, "at most 300"),
        ("up #\n" + "+up " * 1000, "at most 300"),
        ("-" * 301 + "up", "at most 300"),
        ("(" * 151 + "up" + ")" * 151, "150 levels of nested brackets"),
        ('up{x="\\"}', "not closed"),
        ('up{x="\n"}', "not closed"),
        ("up{x='", "not closed"),
        ("up{x=`", "not closed"),
        ("up{x=`\\`}`+up", "back quotes"),
        ("x" * (scanner.MOST_CHARACTERS + 1), "characters with its placeholders filled in"),
    ],
)
def test_refused(query: str, told: str) -> None:
    with pytest.raises(TemplateError, match=told):
        scanner.measure(query)


@pytest.mark.parametrize(
    ("query", "symbols"),
    [("up", 0), ("a+b", 1), ("a == b", 2), ('{a="+"} # +', 2), ("'+' + \"-\"", 1), ("a#\r+b", 1), ("a or_b OR c", 1)],
)
def test_symbols(query: str, symbols: int) -> None:
    assert scanner.measure(query) == symbols


PIECES = st.sampled_from(
    ["up", " ", "+", "-", "(", ")", "#", "\r", "\n", '"', "'", "`", "\\", "{", "}", "[1m]", "[1m:]", ",", "=", "a", "1",
     " or ", " and ", "1or 2", "abs(", "by (a) ", "offset 1m", "@ 1", "\t", "\x0b", "\x85", "é", "\0", "atan2"]
)  # fmt: skip


@settings(max_examples=1500, deadline=None)
@given(st.lists(PIECES, max_size=40).map("".join) | st.text(max_size=30))
def test_what_is_counted_bounds_the_tree(query: str) -> None:
    """The scanner sees each operator that the parser sees: else the time of the parser would not be bounded."""
    try:
        symbols = scanner.measure(query)
        tree = syntax.parse_own(query)
    except TemplateError:
        return
    nodes, todo = 0, [tree]
    while todo:
        nodes += 1
        todo += syntax._below(todo.pop())
    assert nodes <= 2 * symbols + 1 + query.count(",")


def policy(*queries: str) -> dict[str, object]:
    return {
        "apiVersion": "resilience-operator.io/v1alpha1",
        "kind": "ResiliencePolicy",
        "metadata": {"name": "a", "namespace": "b"},
        "spec": {
            "targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"},
            "signals": [{"name": f"s{n}", "query": query} for n, query in enumerate(queries)],
            "rules": [{"name": "r", "when": {"signal": "cpu", "above": "70%"}, "then": [{"alert": {}}]}],
        },
    }


def test_the_characters_of_a_policy_are_bounded() -> None:
    parse_policy(policy(*["x" * 4096] * 16))
    with pytest.raises(InvalidPolicy, match="65536 characters together"):
        parse_policy(policy(*["x" * 4096] * 16, "y"))


class TestProcess:
    async def test_one_that_ends_takes_only_its_query_along(self) -> None:
        rewriter = Rewriter()
        assert await rewriter.enforce("a", "namespace", "x") == '{__name__="a",namespace="x"}'
        assert rewriter._process is not None
        child = rewriter._process.pid
        os.kill(child, signal.SIGSTOP)
        broken = asyncio.create_task(rewriter.enforce("b", "namespace", "x"))
        while not rewriter._tasks:
            await asyncio.sleep(0)
        await asyncio.sleep(0.05)
        os.kill(child, signal.SIGSEGV)
        os.kill(child, signal.SIGCONT)
        with pytest.raises(TemplateError, match="the parser failed on it"):
            await broken
        with pytest.raises(TemplateError, match="the parser failed on it"):  # remembered
            await rewriter.enforce("b", "namespace", "x")
        assert await rewriter.enforce("c", "namespace", "x") == '{__name__="c",namespace="x"}'
        await rewriter.close()

    async def test_cpu_time_is_bounded(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The kernel ends it by its own time, whatever it hangs in."""
        monkeypatch.setattr(process, "__name__", "tests.support.spinning")
        rewriter = Rewriter()
        with pytest.raises(TemplateError, match="takes too long to parse"):
            await rewriter.enforce("a", "namespace", "x")
        await rewriter.close()

    async def test_one_that_cannot_start_is_no_fault_of_the_query(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """It is said, remembered for a minute, and then tried again."""
        now = [0.0]
        rewriter = Rewriter(lambda: now[0])
        with monkeypatch.context() as patch:
            patch.setattr(process, "__name__", "tests.support.no_such_module")
            for _ in range(2):
                with pytest.raises(RewriterUnavailableError, match="could not be started: it exited with 1"):
                    await rewriter.enforce("a", "namespace", "x")
        with pytest.raises(RewriterUnavailableError):
            await rewriter.enforce("a", "namespace", "x")
        now[0] = 61.0
        assert await rewriter.enforce("a", "namespace", "x") == '{__name__="a",namespace="x"}'
        await rewriter.close()

    async def test_who_asks_no_more_leaves_it_in_order(self) -> None:
        rewriter = Rewriter()
        for number in range(5):
            gone = asyncio.create_task(rewriter.enforce(f"a{number}", "namespace", "x"))
            await asyncio.sleep(0)
            gone.cancel()
        assert await rewriter.enforce("b", "namespace", "x") == '{__name__="b",namespace="x"}'
        assert await rewriter.enforce("a3", "namespace", "x") == '{__name__="a3",namespace="x"}'
        await rewriter.close()

    async def test_what_is_remembered_is_bounded(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("resilience_operator.signals.query.rewriter.MAX_CHARACTERS", 5_000)
        rewriter = Rewriter()
        for number in range(30):
            await rewriter.enforce(f"a{number}", "namespace", "x")
        assert len(rewriter._outcomes) < 10
        assert rewriter._characters <= 5_000
        await rewriter.close()

    @pytest.mark.parametrize("query", ["up @ -1.5", "up{", "info(up)", "(" * 140 + "up" + ")" * 140])
    def test_it_answers_everything(self, query: str) -> None:
        assert process.answer(f'["{query}", "namespace", "x"]'.encode()).endswith(b"\n")
