"""The collector on recorded answers: what is asked, how often, and what becomes of failures."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from resilience_operator.decision.model.observation import Observation
from resilience_operator.resilience.breaker import BreakerSettings, State
from resilience_operator.resilience.deadline import Deadline
from resilience_operator.resilience.errors import DeadlineExceeded, GiveUp, TryAgain, Unauthorized
from resilience_operator.resilience.retry import Retry, RetryPolicy
from resilience_operator.signals.collector import SignalCollector
from resilience_operator.signals.model import Signal, SignalRequest
from resilience_operator.signals.presets import aggregate as join
from resilience_operator.signals.query.breakers import SourceBreakers
from resilience_operator.signals.query.cohorts import Cohorts
from resilience_operator.signals.query.errors import CircuitOpenError
from resilience_operator.signals.query.scope import QueryScope
from resilience_operator.signals.sources.protocol import Answer, MetricSource, Series
from resilience_operator.signals.sources.registry import SourceRegistry
from tests.support.observed import observed

NOW = 1_700_000_000.0


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


PARTS = re.compile(r'label_replace\(\n(.*?),\n"part", "(\w+)", "part", ".\*"\n\)', re.DOTALL)


@dataclass
class Recorded:
    """A source that answers from a function of the query, and keeps what it was asked."""

    answers: Callable[[str], Answer | Exception]
    name: str = "default"
    delay: float = 0.0
    asked: list[str] = field(default_factory=list)
    probes: list[str] = field(default_factory=list)
    running: int = 0
    most: int = 0
    cancelled: int = 0

    async def query(self, promql: str, *, at: float | None = None, deadline: Deadline) -> Answer:
        probe = is_probe(promql)
        (self.probes if probe else self.asked).append(promql)
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            await asyncio.sleep(self.delay)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.running -= 1
        found = by_part(promql, self.answers)
        return Answer([]) if probe else found

    async def close(self) -> None: ...


def is_probe(promql: str) -> bool:
    """Whether it asks for what a preset cannot measure. It returns nothing where all is well."""
    return "[1-5].." in promql or "count_over_time" in promql or "unless on (namespace, pod, container)" in promql


def by_part(promql: str, answers: Callable[[str], Answer | Exception]) -> Answer:
    """What a server answers that knows the parts of a question alone."""
    parts = PARTS.findall(promql)
    found = [answers(query) for query, _ in parts] or [answers(promql)]
    for one in found:
        if isinstance(one, Exception):
            raise one
    if not parts:
        return cast(Answer, found[0])
    return Answer(
        [
            series._replace(labels={**series.labels, "part": part})
            for (_, part), answer in zip(parts, cast(list[Answer], found), strict=True)
            for series in answer.series
        ],
        tuple(warning for answer in cast(list[Answer], found) for warning in answer.warnings),
    )


def owners(*values: tuple[str, str, float], at: float = NOW) -> Answer:
    return Answer([Series({"namespace": n, "owner": o}, v, at) for n, o, v in values])


def shop(query: str) -> Answer:
    """Of every namespace and workload asked about: 100 requests, 2 of them bad, P99 0.5 s, CPU 0.3 of 0.5."""
    if '"5..' in query:
        return owners(("shop", "web-1", 2.0))
    if "histogram_quantile" in query:
        return owners(("shop", "web-1", 0.5))
    if "usage" in query:
        return owners(("shop", "web-1", 0.3))
    return owners(("shop", "web-1", 0.5 if "requests{resource" in query else 100.0))


def ask(
    signal: str = "error-rate", *, namespace: str = "shop", name: str = "web", source: str = "default", **own: str
) -> SignalRequest:
    preset = "" if own else signal
    return SignalRequest(
        namespace, name, "Deployment", {f"{name}-1": "1"}, Signal(signal, preset=preset, **own), source=source
    )


def collector(*sources: MetricSource, clock: Clock | None = None, attempts: int = 1) -> SignalCollector:
    retry = Retry(RetryPolicy(base=0, cap=0, attempts=attempts))
    return SignalCollector(SourceRegistry({s.name: s for s in sources}), retry=retry, clock=clock or Clock())


async def collect(
    found: SignalCollector, *requests: SignalRequest, max_age: float = 0.0, now: float = NOW, seconds: float = 60.0
) -> list[Observation]:
    return await observed(found, requests, now=now, deadline=Deadline.after(seconds), max_age=max_age)


async def test_the_three_signals() -> None:
    source = Recorded(shop)
    errors, latency, cpu = await collect(collector(source), ask(), ask("latency-p99"), ask("cpu"))
    assert errors.measured and (errors.measured.value, errors.measured.samples) == (0.02, 100)
    assert latency.measured and latency.measured.value == 0.5
    assert cpu.measured and cpu.measured.value == pytest.approx(0.6)
    assert errors.at == NOW
    # http-generic counts requests for the ratio and for the histogram by different metrics.
    assert len(source.asked) == 3


async def test_ten_thousand_policies_ask_three_queries() -> None:
    source = Recorded(lambda q: Answer([]))
    batch = [
        ask(signal, namespace=f"ns-{i % 700}", name=f"web-{i}")
        for i in range(10_000)
        for signal in ("cpu", "error-rate", "latency-p99")
    ]
    found = await collect(collector(source), *batch)
    assert len(found) == 30_000
    assert len(source.asked) == 3
    assert not any("ns-1" in query for query in source.asked)


async def test_a_scope_is_chunked_and_then_dropped() -> None:
    scope: QueryScope[str] = QueryScope(
        lambda values: (",".join(values), ""), Cohorts(), str, chunk=2, unscoped_above=5, memory=100
    )
    scope.add("abc", 0)
    assert [scope.chunk_of(v) for v in "abc"] == [0, 0, 1]
    assert scope.text("q{ {{scope}} }", 60, 0) == "q{ a,b }"
    assert scope.text("q{ {{scope}} }", 60, 0) is scope.text("q{ {{scope}} }", 60, 0)
    scope.add("def", 0)
    assert [scope.chunk_of(v) for v in "abcdef"] == [0] * 6
    assert scope.text("q{ {{scope}} }", 60, 0) == "q{  }"
    scope.add("ab", 200)
    assert [scope.chunk_of(v) for v in "ab"] == [0, 0]
    assert scope.text("q{ {{scope}} }", 60, 0) == "q{ a,b }"


async def test_policies_evaluated_one_by_one_share_answers() -> None:
    source, clock = Recorded(shop), Clock()
    found = collector(source, clock=clock)
    batch = [ask(), ask(namespace="other")]
    found.expect(batch)
    for request in batch:
        await collect(found, request, max_age=3)
    assert len(source.asked) == 1
    clock.now += 3.1
    await collect(found, batch[0], max_age=3)
    assert len(source.asked) == 2


async def test_what_others_ask_for_anyway_may_be_older_than_ones_own_answers() -> None:
    source, clock = Recorded(shop), Clock()
    found = collector(source, clock=clock)
    batch = [ask(), ask("queue", query="queue_length")]

    async def look() -> None:
        await observed(found, batch, now=NOW, deadline=Deadline.after(60), max_age=1, shared_age=5)

    await look()
    assert len(source.asked) == 2
    clock.now += 4
    await look()
    assert source.asked[2:] == ["queue_length"]
    clock.now += 2
    await look()
    assert len(source.asked) == 5


async def test_a_new_namespace_widens_the_scope() -> None:
    source = Recorded(shop)
    found = collector(source)
    await collect(found, ask(), max_age=60)
    await collect(found, ask(namespace="new"), max_age=60)
    assert 'namespace="shop"' in source.asked[0]
    assert 'namespace=~"new|shop"' in source.asked[1]
    await collect(found, ask(), max_age=60)
    assert len(source.asked) == 2


async def test_equal_custom_queries_run_once() -> None:
    source = Recorded(lambda q: Answer([Series({}, 7, NOW)]), delay=0.02)
    found = collector(source)
    same = [ask("own", query="sum(x)") for _ in range(50)]
    together = await asyncio.gather(*(collect(found, request) for request in same))
    assert {o.measured.value for [o] in together if o.measured} == {7}
    assert source.asked == ["sum(x)"]


async def test_concurrency_is_bounded() -> None:
    source = Recorded(lambda q: Answer([Series({}, 7, NOW)]), delay=0.01)
    await collect(collector(source), *(ask("own", query=f"x{i}", namespace=f"ns-{i % 2}") for i in range(20)))
    assert source.most == 3
    assert len(source.asked) == 20


async def test_a_namespace_has_half_of_the_places() -> None:
    source = Recorded(lambda q: Answer([Series({}, 7, NOW)]), delay=0.01)
    await collect(collector(source), *(ask("own", query=f"x{i}") for i in range(20)))
    assert source.most == 2
    assert len(source.asked) == 20


@pytest.mark.parametrize(
    ("error", "reason", "says"),
    [
        (TryAgain("no answer in time", reason="timeout"), "SourceTimedOut", "no answer in time"),
        (DeadlineExceeded("late", reason="deadline"), "SourceTimedOut", "late"),
        (TryAgain("refused", reason="refused"), "SourceUnreachable", "refused"),
        (TryAgain("no such name", reason="dns"), "NameNotResolved", "no such name"),
        (TryAgain("HTTP 500", reason="status_500"), "SourceUnreachable", "HTTP 500"),
        (TryAgain("half", reason="bad_answer"), "BadAnswer", "half"),
        (GiveUp("large", reason="too_large"), "BadAnswer", "large"),
        (GiveUp("parse error", reason="bad_query"), "BadQuery", "parse error"),
        (GiveUp("HTTP 403", reason="status_403"), "SourceRefused", "HTTP 403"),
        (Unauthorized("HTTP 401", reason="status_401"), "SourceRefused", "HTTP 401"),
        (CircuitOpenError("60% of 20 calls failed"), "CircuitOpen", "60%"),
        (KeyError("CANARY"), "BadAnswer", "KeyError"),
    ],
)
async def test_a_failure_is_an_observation(error: Exception, reason: str, says: str) -> None:
    [found] = await collect(collector(Recorded(lambda q: error)), ask())
    assert (found.measured, found.reason) == (None, reason)
    assert says in found.message
    assert "CANARY" not in found.message


async def test_only_those_who_depend_on_a_failing_query_suffer() -> None:
    def answers(query: str) -> Answer | Exception:
        return TryAgain("HTTP 500", reason="status_500") if "usage" in query else shop(query)

    found = collector(Recorded(answers), Recorded(lambda q: TryAgain("x", reason="refused"), name="away"))
    cpu, errors, away = await collect(found, ask("cpu"), ask(), ask(source="away"))
    assert (cpu.reason, errors.reason, away.reason) == ("SourceUnreachable", "", "SourceUnreachable")
    assert "'away'" in away.message


async def test_nobody_waits_for_an_answer_to_others() -> None:
    released = asyncio.Event()

    class Slow(Recorded):
        async def query(self, promql: str, *, at: float | None = None, deadline: Deadline) -> Answer:
            if promql == "slow":
                await released.wait()
            return await super().query(promql, at=at, deadline=deadline)

    source = Slow(lambda query: Answer([Series({}, float(len(query)), NOW)]))
    found = collector(source)
    asked = [
        [ask("a", query="aa")],
        [ask("b", query="slow"), ask("c", query="aa")],
        [],
        [ask("d", query="dddd"), ask("e", query="aa")],
    ]
    order: list[int] = []
    async for portion in found.collect(asked, now=NOW, deadline=Deadline.after(60)):
        for number, findings in portion:
            order.append(number)
            assert [o.measured.value for o in findings.observations() if o.measured] == [
                len(request.signal.query) for request in asked[number]
            ]
        released.set()
    assert order == [0, 2, 3, 1]
    assert sorted(source.asked) == ["aa", "dddd", "slow"]


async def test_a_fault_over_one_request_is_that_requests_alone() -> None:
    source = Recorded(shop)
    broken = ask("queue")
    object.__setattr__(broken, "signal", Signal("queue", query="queue[{{window}}]", window_seconds=cast(float, "2m")))
    errors, queue, cpu = await collect(collector(source), ask(), broken, ask("cpu"))
    assert errors.measured and cpu.measured and not queue.measured
    assert queue.reason == "InternalError" and "a bug in the operator" in queue.message


async def test_a_fault_over_one_answer_is_that_requests_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def ratio(target: join.SeriesKeys, *rest: Any) -> Observation:
        if "bad" in str(target):
            raise ZeroDivisionError
        return whole(target, *rest)

    whole = join.ratio
    monkeypatch.setattr(join, "ratio", ratio)
    good, bad = await collect(collector(Recorded(shop)), ask(), ask(name="bad"))
    assert good.measured and bad.reason == "InternalError"


async def test_what_may_pass_is_tried_again_and_what_will_not_is_not() -> None:
    passing = Recorded(lambda q: TryAgain("x", reason="reset"))
    await collect(collector(passing, attempts=3), ask("own", query="x"))
    assert len(passing.asked) == 3
    final = Recorded(lambda q: GiveUp("x", reason="bad_query"))
    await collect(collector(final, attempts=3), ask("own", query="x"))
    assert len(final.asked) == 1


async def test_a_failure_is_not_asked_again_at_once() -> None:
    source, clock = Recorded(lambda q: TryAgain("x", reason="refused")), Clock()
    found = collector(source, clock=clock)
    for _ in range(5):
        await collect(found, ask("own", query="x"), max_age=5)
    assert len(source.asked) == 1
    clock.now += 1.1
    await collect(found, ask("own", query="x"), max_age=5)
    assert len(source.asked) == 2


async def test_a_partial_answer_is_no_answer() -> None:
    source = Recorded(lambda q: Answer(shop(q).series, ("store-1 is away",)))
    [found] = await collect(collector(source), ask())
    assert found.reason == "PartialAnswer"
    assert "store-1 is away" in found.message


@pytest.mark.parametrize(("off", "says"), [(-600, "600 s behind"), (600, "600 s ahead of"), (-61, "61 s behind")])
async def test_a_clock_that_is_off(off: float, says: str) -> None:
    source = Recorded(lambda q: owners(("shop", "web-1", 1.0), at=NOW + off))
    [found] = await collect(collector(source), ask())
    assert found.reason == "Stale"
    assert says in found.message


@pytest.mark.parametrize("off", [-59, 0, 59])
async def test_a_clock_that_is_nearly_right(off: float) -> None:
    source = Recorded(lambda q: owners(("shop", "web-1", 1.0), at=NOW + off))
    [found] = await collect(collector(source), ask())
    assert found.measured


async def test_a_shared_answer_does_not_age_into_staleness() -> None:
    source, clock = Recorded(shop), Clock()
    found = collector(source, clock=clock)
    await collect(found, ask(), max_age=100)
    clock.now += 55
    [shared] = await collect(found, ask(), max_age=100, now=NOW + 90)
    # The answer was asked for 55 s ago, when the wall clock stood at NOW + 35: 35 s off is let pass.
    assert shared.measured


async def test_what_is_not_configured_is_told() -> None:
    found = collector(Recorded(shop))
    source, family, preset, placeholder = await collect(
        found,
        ask(source="thanos"),
        SignalRequest("shop", "web", "Deployment", {}, Signal("s", preset="cpu"), family="caddy"),
        ask("p51"),
        ask("own", query="x{pod='{{pod}}'}"),
    )
    assert (source.reason, family.reason) == ("SourceNotFound", "PresetNotFound")
    assert (preset.reason, placeholder.reason) == ("PresetNotFound", "BadQuery")
    assert "default" in source.message and "http-generic" in family.message and "cpu" in preset.message


async def test_no_pods_is_no_data_and_no_query() -> None:
    source = Recorded(shop)
    nothing = SignalRequest("shop", "web", "Deployment", {}, Signal("s", preset="cpu"))
    [found] = await collect(collector(source), nothing)
    assert (found.reason, source.asked) == ("NoData", [])


async def test_buckets_are_asked_for_releases_alone() -> None:
    def answers(query: str) -> Answer:
        if "histogram_quantile" in query:
            return owners(("shop", "web-1", 0.5), ("shop", "web-2", 2.0))
        if "_bucket" in query:
            values = {"web-1": (100.0, 100.0, 100.0), "web-2": (0.0, 100.0, 100.0)}
            return Answer(
                [
                    Series({"namespace": "shop", "owner": owner, "le": le}, count, NOW)
                    for owner, counts in values.items()
                    for le, count in zip(("1", "2", "+Inf"), counts, strict=True)
                ]
            )
        return owners(("shop", "web-1", 50.0), ("shop", "web-2", 50.0))

    source = Recorded(answers)
    found = collector(source)
    await collect(found, ask("latency-p99"))
    assert len(source.asked) == 1
    both = SignalRequest(
        "shop", "web", "Deployment", {"web-1": "1", "web-2": "2"}, Signal("latency-p99", preset="latency-p99")
    )
    split, _ = await collect(found, both, ask("latency-p99", namespace="calm"))
    assert split.measured and split.measured.value == pytest.approx(1.98)
    assert set(split.by_revision) == {"1", "2"}
    [buckets] = [q for q in source.asked if "_bucket" in q and "histogram_quantile" not in q]
    assert 'namespace="shop", pod=~"(?:web-1-|web-2-)[^-]+"' in buckets


async def test_the_deadline_holds() -> None:
    source = Recorded(shop, delay=5)
    [found] = await collect(collector(source), ask(), seconds=0.05)
    assert found.reason == "SourceTimedOut"


async def test_a_cancelled_collection_leaves_nothing_behind() -> None:
    source = Recorded(shop, delay=5)
    found = collector(source)
    alone = asyncio.create_task(collect(found, ask()))
    await asyncio.sleep(0.01)
    alone.cancel()
    with pytest.raises(asyncio.CancelledError):
        await alone
    await asyncio.sleep(0.01)
    assert (source.running, source.cancelled) == (0, len(source.asked + source.probes))


async def test_one_who_leaves_does_not_take_the_answer_from_others() -> None:
    source = Recorded(shop, delay=0.05)
    found = collector(source)
    leaving = asyncio.create_task(collect(found, ask()))
    staying = asyncio.create_task(collect(found, ask()))
    await asyncio.sleep(0.01)
    leaving.cancel()
    [observation] = await staying
    assert observation.measured
    assert len(source.asked) == 1


class TestBreakers:
    def guarded(self, source: Recorded, clock: Clock, attempts: int = 1) -> tuple[SignalCollector, SourceBreakers]:
        settings = BreakerSettings(minimum_calls=4, open_for=10, half_open_calls=1)
        breakers = SourceBreakers(settings, clock=clock)
        retry = Retry(RetryPolicy(attempts=attempts, base=0))
        return SignalCollector(
            SourceRegistry({"default": source}), retry=retry, breakers=breakers, clock=clock
        ), breakers

    async def fail(self, source: Recorded, clock: Clock, times: int = 4) -> tuple[SignalCollector, SourceBreakers]:
        found, breakers = self.guarded(source, clock)
        for i in range(times):
            await collect(found, ask("own", query=f"x{i}"), seconds=0.05)
        return found, breakers

    async def test_a_failing_source_is_left_alone_and_tried_again(self) -> None:
        source, clock = Recorded(lambda q: TryAgain("x", reason="refused")), Clock()
        found, breakers = await self.fail(source, clock)
        [left] = await collect(found, ask("own", query="y"))
        assert (left.reason, len(source.asked)) == ("CircuitOpen", 4)
        assert "4 of 4 calls failed" in left.message
        assert left.message.endswith("the last with SourceUnreachable (x)")
        clock.now += 11
        source.answers = lambda q: Answer([Series({}, 7, NOW)])
        [again] = await collect(found, ask("own", query="y"))
        assert again.measured
        assert breakers.all["default"].state is State.CLOSED

    async def test_what_a_retry_comes_to_is_not_counted(self) -> None:
        source = Recorded(lambda q: TryAgain("x", reason="refused"))
        found, breakers = self.guarded(source, Clock(), attempts=3)
        for i in range(3):
            await collect(found, ask("own", query=f"x{i}"))
        assert (len(source.asked), breakers.all["default"].stats.calls) == (9, 3)
        [opening] = await collect(found, ask("own", query="x3"))
        assert (opening.reason, len(source.asked)) == ("CircuitOpen", 10), "once it is open nothing is tried again"

    async def test_a_hanging_source_is_left_alone(self) -> None:
        source = Recorded(shop, delay=5)
        found, _ = await self.fail(source, Clock())
        [left] = await collect(found, ask("own", query="y"))
        assert left.reason == "CircuitOpen"
        assert "SourceTimedOut" in left.message

    @pytest.mark.parametrize(
        "error",
        [
            GiveUp("parse error", reason="bad_query"),
            TryAgain("the query took too long", reason="timeout", detail="timeout"),
        ],
    )
    async def test_a_bad_query_does_not_count_against_the_source(self, error: Exception) -> None:
        source = Recorded(lambda q: error)
        _, breakers = await self.fail(source, Clock())
        assert breakers.all["default"].state is State.CLOSED

    async def test_cancelling_proves_nothing(self) -> None:
        found, breakers = self.guarded(Recorded(shop, delay=5), Clock())
        task = asyncio.create_task(collect(found, ask("own", query="x")))
        await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.wait([task])
        await asyncio.sleep(0.01)
        assert breakers.all["default"].stats.calls == 0


async def test_own_queries_leave_a_place_for_presets() -> None:
    source = Recorded(shop, delay=0.2)
    found = collector(source)
    own = [ask("own", query=f"x{i}", namespace=f"ns-{i % 2}") for i in range(10)]
    heavy = asyncio.create_task(collect(found, *own))
    await asyncio.sleep(0.05)
    assert source.running == 3
    [errors] = await collect(found, ask(), seconds=1)
    assert errors.measured
    assert not heavy.done()
    await heavy


class TestRegistry:
    def test_a_name_taken_twice(self) -> None:
        from resilience_operator.signals.prometheus.config import SourceConfig

        twice = [SourceConfig(name="a", url="http://127.0.0.1:1")] * 2
        with pytest.raises(ValueError, match="twice"):
            SourceRegistry.from_config(twice, lambda c: Recorded(shop, c.name))
        with pytest.raises(ValueError, match="twice"):
            SourceRegistry.from_config(twice[:1], lambda c: Recorded(shop, c.name), [Recorded(shop, "a")])

    async def test_closing_all(self) -> None:
        closed: Sequence[str] = []

        class Closing(Recorded):
            async def close(self) -> None:
                assert isinstance(closed, list)
                closed.append(self.name)
                raise RuntimeError

        await SourceRegistry({n: Closing(shop, n) for n in "ab"}).close()
        assert sorted(closed) == ["a", "b"]


def releasing(signal: str, **how: Any) -> SignalRequest:
    owned = {"web-1": "1", "web-2": "2"}
    return SignalRequest("shop", "web", "Deployment", owned, Signal(signal, preset=signal, **how), watched=True)


def counters(query: str, step: float) -> Answer:
    """Raw counters of two pods at 100, and then by `step` more."""
    if "last_over_time" not in query:
        return owners(("shop", "web-1", 5.0), ("shop", "web-2", 5.0))
    bad = '"5..' in query
    return Answer(
        [
            Series(
                {"namespace": "shop", "pod": f"{owner}-abcde"}, (1.0 if bad else 100.0) + step / (10 if bad else 1), NOW
            )
            for owner in ("web-1", "web-2")
        ]
    )


async def test_counters_are_asked_while_a_release_is_watched_alone() -> None:
    source, clock = Recorded(lambda query: counters(query, 0.0)), Clock()
    found = collector(source, clock=clock)
    await collect(found, ask(), ask("cpu"))
    assert not any("last_over_time" in query for query in source.asked)
    [first] = await collect(found, releasing("error-rate"))
    assert (first.increments, first.since) == ((), None)
    [asked] = [query for query in source.asked if "last_over_time" in query]
    assert 'namespace="shop", pod=~"(?:web-1-|web-2-)[^-]+"' in asked
    source.answers = lambda query: counters(query, 40.0)
    clock.now += 5
    [second] = await collect(found, releasing("error-rate"))
    assert second.since == NOW
    assert sorted((i.pod, i.revision, i.samples, i.events) for i in second.increments) == [
        ("web-1-abcde", "1", 40.0, 4.0),
        ("web-2-abcde", "2", 40.0, 4.0),
    ]


async def test_the_end_of_a_release_ends_the_increments() -> None:
    source = Recorded(lambda query: counters(query, 0.0))
    found = collector(source)
    await collect(found, releasing("error-rate"))
    await collect(found, ask())
    [again] = await collect(found, releasing("error-rate"))
    assert again.since is None


async def test_failing_counters_are_a_gap_and_no_outage() -> None:
    def answers(query: str) -> Answer | Exception:
        return TryAgain("x", reason="refused") if "last_over_time" in query else counters(query, 0.0)

    source, clock = Recorded(lambda query: counters(query, 0.0)), Clock()
    found = collector(source, clock=clock)
    await collect(found, releasing("error-rate"))
    source.answers = answers
    clock.now += 5
    [gap] = await collect(found, releasing("error-rate"))
    assert gap.measured and (gap.increments, gap.since) == ((), None)
    source.answers = lambda query: counters(query, 7.0)
    clock.now += 5
    [after] = await collect(found, releasing("error-rate"))
    assert [i.samples for i in after.increments] == [7.0, 7.0]


async def test_one_container_is_asked_for_its_namespace_alone() -> None:
    source = Recorded(shop)
    found = collector(source)
    [cpu] = await collect(found, ask("cpu"), max_age=60)
    assert cpu.measured
    request = SignalRequest("shop", "web", "Deployment", {"web-1": "1"}, Signal("cpu", preset="cpu", container="app"))
    one, _ = await collect(found, request, ask("cpu", namespace="other"), max_age=60)
    assert one.measured
    [own] = [query for query in source.asked if 'container="app"' in query]
    assert own.count('container="app"') == 9, "every selector of the usage and of the requests"
    assert "other" not in own


@pytest.mark.parametrize(
    ("scrapes", "window"),
    [(0, 120.0), (150, 120.0), (40, 120.0), (20, 120.0), (19, 120.0), (11, 300.0), (10, 300.0), (2, 600.0)],
)
async def test_a_window_is_widened_to_four_scrapes(scrapes: float, window: float) -> None:
    class Scraped(Recorded):
        async def query(self, promql: str, *, at: float | None = None, deadline: Deadline) -> Answer:
            if "count_over_time" in promql:
                return owners(("shop", "web-1", scrapes)) if scrapes else Answer([])
            return await super().query(promql, at=at, deadline=deadline)

    source, clock = Scraped(shop), Clock()
    found = collector(source, clock=clock)
    await collect(found, ask(), ask(name="other", namespace="else"))
    source.asked.clear()
    clock.now += 5
    [widened] = await collect(found, ask())
    assert widened.measured
    assert {int(n) for query in source.asked for n in re.findall(r"\[(\d+)s\]", query)} == {int(window)}
    assert widened.window == (window if window > 120 else None)
    assert bool(widened.note) is (window > 120)
