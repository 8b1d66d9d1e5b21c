"""A process that serves the series of the whole crowd: `python -m tests.bench.scale.exporter`.

Every Deployment has one pod, with the names that cAdvisor, kube-state-metrics and a client library give. The crowd is
in groups, whose members do the same; so a page of many lines is put together by `str.join`. Members that were singled
out have lines of their own. `/fast/PART` moves with time, `/slow/PART` does not.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from aiohttp import web

from tests.bench.scale.crowd import CALM, Member, asking, members

PARTS = 50
"""Pages of each kind, which Prometheus reads at moments of their own. Small, as those of single pods are: the larger a
page, the longer it is on its way while its samples are of the moment at which it was asked for."""

GROUPS = 4
"""In each part."""

RATE = 60.0
"""Requests/s."""

BUCKETS = (("0.1", 0.6), ("0.5", 0.97), ("1", 0.999), ("2.5", 1.0), ("+Inf", 1.0))
"""Bounds in seconds, and the share of requests below."""


@dataclass(frozen=True, slots=True)
class Pace:
    """What a pod does, a second. cpu: cores. requests: of them, one in a thousand fails."""

    cpu: float
    requests: float

    def counted(self, seconds: float) -> tuple[float, ...]:
        """What its counters grow by, in the order of `_labels`."""
        total = self.requests * seconds
        below = (share * total for _, share in BUCKETS)
        return self.cpu * seconds, total * 0.999, total * 0.001, *below, total, total * 0.12


@dataclass(slots=True)
class Single:
    """A member with a pace of its own, from a moment on; base: what it had counted by then."""

    base: tuple[float, ...]
    since: float
    rate_limiter: Pace

    def counters(self, now: float) -> tuple[float, ...]:
        """Its counters now."""
        return tuple(b + c for b, c in zip(self.base, self.rate_limiter.counted(now - self.since), strict=True))


def _labels(m: Member) -> tuple[str, ...]:
    """The series of a pod that move."""
    who = f'namespace="{m.namespace}",pod="{m.pod}"'
    return (
        f'container_cpu_usage_seconds_total{{{who},container="app"}}',
        f'http_requests_total{{{who},code="200",method="get"}}',
        f'http_requests_total{{{who},code="500",method="get"}}',
        *(f'http_request_duration_seconds_bucket{{{who},le="{le}"}}' for le, _ in BUCKETS),
        f"http_request_duration_seconds_count{{{who}}}",
        f"http_request_duration_seconds_sum{{{who}}}",
    )


def _state(m: Member) -> Iterator[str]:
    """The lines of a pod that do not move."""
    who = f'namespace="{m.namespace}",pod="{m.pod}",uid="{m.number}"'
    yield f'kube_pod_container_resource_requests{{{who},container="app",resource="cpu",unit="core"}} 0.1\n'
    for phase in ("Pending", "Succeeded", "Failed", "Unknown", "Running"):
        yield f'kube_pod_status_phase{{{who},phase="{phase}"}} {int(phase == "Running")}\n'


class Exporter:
    """The pages, and who is singled out. Times are of the monotonic clock."""

    def __init__(self, crowd: Sequence[Member]) -> None:
        self._members = {member.number: member for member in crowd}
        self._began = time.monotonic()
        self._paces = [Pace(CALM * (0.5 + g / GROUPS), RATE * (0.5 + g / GROUPS)) for g in range(GROUPS)]
        self._singles: dict[int, Single] = {}
        self._slow = ["".join(line for m in self._part(part) for line in _state(m)) for part in range(PARTS)]
        self._columns: dict[tuple[int, int], list[tuple[str, ...]]] = {}
        for part in range(PARTS):
            for group in range(GROUPS):
                self._arrange(part, group)

    def app(self) -> web.Application:
        """Pages for Prometheus, and one to single out."""
        app = web.Application()
        app.router.add_get("/fast/{part}", self._get_fast)
        app.router.add_get("/slow/{part}", self._get_slow)
        app.router.add_post("/pace", self._post_pace)
        return app

    def fast(self, part: int, now: float) -> str:
        """The lines that move. Whole numbers of microseconds and thousandths are enough."""
        lines: list[str] = []
        for group, rate_limiter in enumerate(self._paces):
            for labels, value in zip(self._columns[part, group], rate_limiter.counted(now - self._began), strict=True):
                ending = f" {value:.4f}\n"
                lines += (ending.join(labels), ending if labels else "")
        for number, single in self._singles.items():
            if number % PARTS == part:
                values = zip(_labels(self._members[number]), single.counters(now), strict=True)
                lines += (f"{label} {value:.4f}\n" for label, value in values)
        return "".join(lines)

    def single_out(self, numbers: Sequence[int], cpu: float) -> float:
        """Give members another CPU; returns the moment from which it counts."""
        now = time.monotonic()
        for number in numbers:
            rate_limiter = self._paces[_group(number)]
            before = self._singles.get(number) or Single(rate_limiter.counted(0.0), self._began, rate_limiter)
            self._singles[number] = Single(before.counters(now), now, Pace(cpu, rate_limiter.requests))
        for part, group in {(number % PARTS, _group(number)) for number in numbers}:
            self._arrange(part, group)
        return now

    def _part(self, part: int) -> list[Member]:
        return [member for member in self._members.values() if member.number % PARTS == part]

    def _arrange(self, part: int, group: int) -> None:
        """The labels of a group's members, by metric, without those that were singled out."""
        found = [
            _labels(m)
            for m in self._part(part)
            if _group(m.number) == group and m.number not in self._singles
        ]  # fmt: skip
        self._columns[part, group] = [*zip(*found, strict=True)] if found else [()] * len(self._paces[0].counted(0.0))

    async def _get_fast(self, request: web.Request) -> web.Response:
        return web.Response(text=self.fast(int(request.match_info["part"]), time.monotonic()))

    async def _get_slow(self, request: web.Request) -> web.Response:
        return web.Response(text=self._slow[int(request.match_info["part"])])

    async def _post_pace(self, request: web.Request) -> web.Response:
        wanted = await request.json()
        return web.json_response({"at": self.single_out(wanted["numbers"], wanted["cpu"])})


def _group(number: int) -> int:
    return number // PARTS % GROUPS


async def _serve(port: int, crowd: Sequence[Member]) -> None:
    runner = web.AppRunner(Exporter(crowd).app(), access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    await asyncio.Event().wait()


def main() -> None:
    """Serves until it is ended."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.scale.exporter")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--policies", type=int, required=True)
    parser.add_argument("--asking", type=int, required=True, help="members in the namespace of custom queries")
    options = parser.parse_args()
    crowd = [*members(options.policies), *asking(options.asking, options.policies)]
    asyncio.run(_serve(options.port, crowd))


if __name__ == "__main__":
    main()
