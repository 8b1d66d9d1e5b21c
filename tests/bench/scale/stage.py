"""The cluster, the exporter and the operator. Whatever was started is stopped again, on every way out."""

from __future__ import annotations

import asyncio
import json
import math
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

from tests.bench.scale import crowd, exporter
from tests.bench.scale.api import Api, Refused, for_all
from tests.bench.scale.controller import Controller
from tests.bench.scale.counters import Page, fetch
from tests.bench.scale.crowd import Member
from tests.bench.scale.usage import Usage, of
from tests.cluster import Cluster, Options, down, up
from tests.cluster.components import APISERVER, CONTROLLER_MANAGER, ETCD, KWOK, SCHEDULER
from tests.support.install import ROOT, install, operator_kubeconfig
from tests.support.operator import Operator, free_port

IDLE = (CONTROLLER_MANAGER, SCHEDULER, KWOK)
"""They have nothing to do without pods, and would blur what the API server spends on the operator."""


def say(line: str) -> None:
    """Progress, at once."""
    print(line, flush=True)


class Stage:
    """Everything that runs. size: policies on presets, as many as there will be; asking: those on own queries."""

    def __init__(self, cluster: Cluster, api: Api, folder: Path, size: int, asking: int, scrape: float) -> None:
        self.cluster, self.api, self._folder = cluster, api, folder
        self.members = crowd.members(size)
        self.asking = crowd.asking(asking, size)
        self.controller = Controller(api)
        self.operator: Operator | None = None
        self._scrape = scrape
        self.window = f"{max(10, math.ceil(4 * scrape))}s"
        self._port = free_port()
        self._http = aiohttp.ClientSession()

    @classmethod
    @asynccontextmanager
    async def built(cls, state: Path, ports: int, size: int, asking: int, scrape: float) -> AsyncIterator[Stage]:
        """A cluster of its own in `state`, which must not be anybody else's. scrape: seconds between two."""
        async with AsyncExitStack() as stack:
            await asyncio.to_thread(down, state)  # left by a run that was killed
            stack.callback(down, state, say=say)
            cluster = await asyncio.to_thread(up, Options(state=state, ports=ports, load_model=False), say)
            install(cluster)
            for part in IDLE:
                cluster.stop(part)
            api = await stack.enter_async_context(Api.connect(cluster))
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            stage = cls(cluster, api, folder, size, asking, scrape)
            stack.push_async_callback(stage._http.close)
            stack.callback(stage.stop)
            stack.enter_context(stage._exporting())
            for namespace in crowd.namespaces():
                await api.call("POST", "/api/v1/namespaces", {"metadata": {"name": namespace}})
            await stack.enter_async_context(stage.controller.working())
            yield stage

    def _exporting(self) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "tests.bench.scale.exporter", f"--port={self._port}"]
        command += [f"--policies={len(self.members)}", f"--asking={len(self.asking)}"]
        return _Ended(command, cwd=ROOT, start_new_session=True)

    async def scraped(self) -> None:
        """Let Prometheus read the exporter; return when it has enough of every page to answer rates."""
        address = f"127.0.0.1:{self._port}"
        targets = [
            {
                "targets": [address],
                "labels": {
                    "__metrics_path__": f"/{kind}/{part}",
                    "part": f"{kind}-{part}",
                    "__scrape_interval__": f"{seconds:g}s",
                    "__scrape_timeout__": f"{seconds:g}s",
                },
            }
            for kind, seconds in (("fast", self._scrape), ("slow", max(5.0, self._scrape)))
            for part in range(exporter.PARTS)
        ]
        (self.cluster.layout.scrape_targets / "scale.json").write_text(json.dumps(targets))
        query = f"count(count_over_time(http_requests_total{{code='200'}}[{self.window}]) > 2)"
        url = f"{self.cluster.prometheus_url}/api/v1/query"
        wanted = len(self.members) + len(self.asking)
        for _ in range(120):
            async with self._http.get(url, params={"query": query}) as answer:
                found = (await answer.json())["data"]["result"]
            if found and int(found[0]["value"][1]) == wanted:
                return
            await asyncio.sleep(1)
        raise RuntimeError(f"Prometheus does not read the whole crowd: {found}")

    async def rate_limiter(self, members: list[Member], cpu: float) -> float:
        """Let members use so many cores; returns the monotonic moment of the step."""
        body = {"numbers": [m.number for m in members], "cpu": cpu}
        async with self._http.post(f"http://127.0.0.1:{self._port}/pace", json=body) as answer:
            return float((await answer.json())["at"])

    async def guard(self, members: list[Member], interval: float) -> None:
        """Create their policies."""

        async def create(member: Member) -> None:
            own = member.namespace == crowd.CUSTOM_NAMESPACE
            body = (crowd.asking_policy if own else crowd.policy)(member, interval, self.window)
            await self.api.call("POST", crowd.policies(member.namespace), body, fieldValidation="Strict")

        await for_all(members, create)

    async def set_interval(self, members: list[Member], interval: float) -> bool:
        """Change their policies' interval; False when the API refuses it."""
        body = {"spec": {"interval": f"{interval:g}s"}}
        try:
            await self.api.call("PATCH", members[0].policy_path, body)
        except Refused as error:
            say(f"  {error}")
            return False
        await for_all(members[1:], lambda m: self.api.call("PATCH", m.policy_path, body))
        return True

    async def start(self, *arguments: str, **environment: str) -> Operator:
        """A fresh operator process, ready; the one before is stopped."""
        await asyncio.to_thread(self.stop)
        identity = operator_kubeconfig(self.cluster, self._folder / "kubeconfig")
        log = self._folder / "operator.log"
        self.operator = Operator(identity, self.cluster.prometheus_url, log, arguments, environment)
        await asyncio.to_thread(self.operator.start)
        return self.operator

    def stop(self) -> None:
        """Stop the operator, if one runs."""
        operator, self.operator = self.operator, None
        if operator is not None and operator.process is not None:
            operator.stop()

    @property
    def pid(self) -> int:
        """The operator's."""
        assert self.operator is not None
        assert self.operator.process is not None
        return self.operator.process.pid

    async def page(self) -> Page:
        """The operator's metrics."""
        assert self.operator is not None
        return Page((await asyncio.to_thread(self.operator.get, "/metrics"))[1])

    async def queries(self) -> float:
        """Queries that Prometheus has answered so far, by its own count."""
        page = await asyncio.to_thread(fetch, f"{self.cluster.prometheus_url}/metrics")
        return page.total("prometheus_http_requests_total", handler="/api/v1/query")

    def control_plane(self) -> Usage:
        """What the API server and etcd have used."""
        found = (self.cluster.running(part) for part in (APISERVER, ETCD))
        return of(process.pid for process in found if process is not None)

    async def until_calm(self, patience: float = 600.0) -> None:
        """Return when the operator has written no verdict for a while: what follows is a steady state."""
        last: float = -1
        for _ in range(int(patience / 5)):
            page = await self.page()
            now = page.total("resilience_status_writes_total") - page.total(
                "resilience_status_writes_total", why="refresh"
            )
            if now == last:
                return
            last = now
            await asyncio.sleep(5)
        say("  the operator is still writing verdicts; measured all the same")


class _Ended(subprocess.Popen[bytes]):
    """A process that is ended with the block."""

    def __exit__(self, *_: Any) -> None:
        self.terminate()
        self.wait()
