"""What is done to the system: one harm after the other, at random, each for a few seconds."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from tests.cluster import Cluster
from tests.support.names import PROMETHEUS, Names
from tests.support.operator import Operator
from tests.support.proxy import Asked, Proxy, faults
from tests.support.proxy.prometheus import clock, data, values
from tests.support.proxy.rules import Fault

Harm = Callable[["Stage", random.Random], Iterator[None]]


@dataclass
class Stage:
    """What can be harmed. away: (from, to), seconds since the epoch, when the API server was being restarted."""

    cluster: Cluster
    api: Proxy
    prometheus: Proxy
    operator: Operator
    names: Names
    away: list[tuple[float, float]] = field(default_factory=list)


@contextmanager
def _rule(proxy: Proxy, fault: Fault, **options: object) -> Iterator[None]:
    rule = proxy.add(fault, **options)
    try:
        yield
    finally:
        proxy.remove(rule)


def _api(fault: Callable[[random.Random], Fault], where: Callable[[Asked], bool], share: float) -> Harm:
    def harm(stage: Stage, chance: random.Random) -> Iterator[None]:
        with _rule(stage.api, fault(chance), where=where, share=share, random=chance.random):
            yield

    return harm


def _prometheus(fault: Callable[[random.Random], Fault], share: float = 1.0) -> Harm:
    def harm(stage: Stage, chance: random.Random) -> Iterator[None]:
        with _rule(stage.prometheus, fault(chance), share=share, random=chance.random):
            yield

    return harm


def _api_away(stage: Stage, _: random.Random) -> Iterator[None]:
    stage.api.close_door()
    try:
        yield
    finally:
        stage.api.open_door()


def _prometheus_away(stage: Stage, _: random.Random) -> Iterator[None]:
    stage.prometheus.close_door()
    try:
        yield
    finally:
        stage.prometheus.open_door()


def _name_unknown(stage: Stage, _: random.Random) -> Iterator[None]:
    stage.names.forget(PROMETHEUS)
    stage.prometheus.cut_all()
    try:
        yield
    finally:
        stage.names.know(PROMETHEUS)


def _watches_cut(stage: Stage, chance: random.Random) -> Iterator[None]:
    with _rule(stage.api, faults.cut_stream(chance.uniform(1, 4)), where=_watch):
        stage.api.cut_all()
        yield


def _versions_gone(stage: Stage, _: random.Random) -> Iterator[None]:
    with _rule(stage.api, faults.gone(), where=_watch):
        stage.api.cut_all()
        yield


def _killed(stage: Stage, _: random.Random) -> Iterator[None]:
    stage.operator.kill()
    yield
    stage.operator.start()


def _killed_at_a_write(stage: Stage, chance: random.Random) -> Iterator[None]:
    """Killed at a write of a target, before or after it was done."""
    process = stage.operator.process
    assert process is not None
    fault = faults.call(process.kill, after=chance.random() < 0.5)
    with _rule(stage.api, fault, where=lambda a: a.mutating and "/deployments/" in a.path, times=1):
        yield
    stage.operator.kill()
    stage.operator.start()


def _frozen(stage: Stage, _: random.Random) -> Iterator[None]:
    stage.operator.freeze()
    yield
    stage.operator.thaw()


def _restarted(component: str) -> Harm:
    def harm(stage: Stage, chance: random.Random) -> Iterator[None]:
        began = time.time()
        stage.cluster.stop(component, grace=chance.choice((0, 5)))
        yield
        stage.cluster.start(component, timeout=300)
        if component == "kube-apiserver":
            stage.away.append((began, time.time()))

    return harm


def _watch(asked: Asked) -> bool:
    return asked.watch


def _call(asked: Asked) -> bool:
    return not asked.watch


def _status(asked: Asked) -> bool:
    return asked.method == "PATCH" and asked.path.endswith("/status")


def _write(asked: Asked) -> bool:
    return asked.mutating


WIRE: dict[str, Harm] = {
    "API server: 500": _api(lambda _: faults.answer(500), _call, 0.4),
    "API server: 503": _api(lambda _: faults.answer(503), _call, 0.4),
    "API server: 429, Retry-After 1 s": _api(lambda _: faults.answer(429, retry_after=1), _call, 0.3),
    "API server: 409 on status": _api(lambda _: faults.answer(409), _status, 0.7),
    "API server: slow": _api(lambda c: faults.delay(c.uniform(0.2, 1.5)), _call, 0.5),
    "API server: hangs": _api(lambda _: faults.hang(), _call, 0.2),
    "API server: resets": _api(lambda _: faults.reset(), _call, 0.4),
    "API server: answers lost": _api(lambda _: faults.reset(after=True), _write, 0.4),
    "API server: half answers": _api(lambda _: faults.half(), _call, 0.3),
    "API server: away": _api_away,
    "watches: cut": _watches_cut,
    "watches: 410 Gone": _versions_gone,
    "Prometheus: 500": _prometheus(lambda _: faults.answer(500, "no", content_type="text/plain"), 0.7),
    "Prometheus: hangs": _prometheus(lambda _: faults.hang(), 0.5),
    "Prometheus: half answers": _prometheus(lambda _: faults.half()),
    "Prometheus: wrong JSON": _prometheus(lambda _: faults.answer(200, '{"status": "succ')),
    "Prometheus: wrong type": _prometheus(lambda _: data(lambda d: d.update(resultType="matrix"))),
    "Prometheus: 50 MB": _prometheus(lambda _: faults.big(50 << 20), 0.2),
    "Prometheus: empty": _prometheus(lambda _: data(lambda d: d.update(result=[]))),
    "Prometheus: NaN": _prometheus(lambda _: values("NaN")),
    "Prometheus: +Inf": _prometheus(lambda _: values("+Inf")),
    "Prometheus: clock off by 10 min": _prometheus(lambda c: clock(c.choice((-600, 600)))),
    "Prometheus: away": _prometheus_away,
    "Prometheus: its name is not known": _name_unknown,
    "operator: SIGKILL": _killed,
    "operator: SIGKILL at a write": _killed_at_a_write,
    "operator: SIGSTOP": _frozen,
}
"""What harms nobody but the operator under test."""

RESTARTS: dict[str, Harm] = {
    "kube-apiserver restarted": _restarted("kube-apiserver"),
    "prometheus restarted": _restarted("prometheus"),
}
"""What needs a cluster of one's own."""


class Harms:
    """Chooses, begins and ends harms until it is told to stop; then all is well again.

    gap: seconds between two of them, at least and at most.
    """

    def __init__(self, stage: Stage, kinds: dict[str, Harm], chance: random.Random, gap: tuple[float, float]) -> None:
        self._gap = gap
        self.done: Counter[str] = Counter()
        self._stage, self._kinds, self._chance = stage, kinds, chance
        self._queue: list[str] = []

    def go_on(self, stop: threading.Event) -> None:
        """One after the other until `stop`; each kind comes once before any comes again."""
        while not stop.wait(self._chance.uniform(*self._gap)):
            if not self._queue:
                self._queue = list(self._kinds)
                self._chance.shuffle(self._queue)
            name = self._queue.pop()
            with contextmanager(self._kinds[name])(self._stage, self._chance):
                stop.wait(30.0 if name.endswith("away") and self._chance.random() < 0.2 else self._chance.uniform(2, 8))
            self.done[name] += 1
