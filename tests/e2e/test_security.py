"""Tenancy and credentials against the real Prometheus, through a front that asks for certificate and token.

The front is TLS on loopback, with authorities of its own; it forwards what it lets through, and repeats on demand all
headers that it was sent, as a careless gateway does.
"""

from __future__ import annotations

import base64
import http.client
import itertools
import json
import os
import ssl
import subprocess
import sys
import threading
import urllib.parse
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import trustme
import yaml
from hypothesis import HealthCheck, given, settings

from resilience_operator.promql.errors import TemplateError
from resilience_operator.promql.tenancy import enforce
from tests.cluster import Cluster
from tests.support.install import ROOT
from tests.support.operator import Operator
from tests.support.waiting import eventually
from tests.support.world import World
from tests.unit.security.test_tenancy import ENFORCED, expressions

Obj = dict[str, Any]


def ask_prometheus(cluster: Cluster, path: str, **parameters: str) -> Obj:
    """The answer of Prometheus' own API."""
    address = urllib.parse.urlsplit(cluster.prometheus_url)
    connection = http.client.HTTPConnection(str(address.hostname), address.port, timeout=30)
    try:
        connection.request(
            "POST",
            f"/api/v1/{path}",
            urllib.parse.urlencode(parameters),
            {"Content-Type": "application/x-www-form-urlencoded"},
        )
        return dict(json.loads(connection.getresponse().read()))
    finally:
        connection.close()


def rule(signal: str) -> Obj:
    return {"name": signal, "when": {"signal": signal, "above": 1e9}, "then": [{"alert": {}}]}


def reason(world: World, signal: str, name: str = "checkout") -> str:
    """Why a signal has no value; its verdict where it has one."""
    found = next((s for s in world.status(name).get("signals", ()) if s["name"] == signal), {})
    return str(found.get("reason") or found.get("verdict", ""))


def configured(folder: Path, *sources: Obj) -> str:
    """A configuration file with these sources."""
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump({"sources": list(sources)}))
    return str(path)


class TestTenancy:
    @pytest.fixture
    def neighbour(self, cluster: Cluster) -> Iterator[World]:
        found = World(cluster, f"t-{os.urandom(4).hex()}").create()
        yield found
        found.remove()

    def test_a_policy_does_not_see_its_neighbour(
        self, world: World, neighbour: World, new_operator: Callable[..., Operator], tmp_path: Path
    ) -> None:
        url = world.cluster.prometheus_url
        # An administrator who says nothing of tenancy has it.
        held, open_ = {"name": "held", "url": url}, {"name": "open", "url": url, "tenancy": "none"}
        elsewhere = {**open_, "name": "elsewhere", "namespaces": [neighbour.namespace, "team-*"]}
        new_operator("--config", configured(tmp_path, open_, held, elsewhere)).start()
        for name in ("open", "held", "elsewhere"):
            world.deployment(name)
        neighbour.deployment()
        metric = "kube_pod_info"

        def measured(where: World) -> bool:
            query = f'{metric}{{namespace="{where.namespace}"}}'
            return bool(ask_prometheus(world.cluster, "query", query=query)["data"]["result"])

        eventually(lambda: measured(world) and measured(neighbour), "both are measured")
        theirs = f'namespace="{neighbour.namespace}"'
        queries = {
            "own": f'count({metric}{{namespace="{{{{namespace}}}}"}})',
            "all": f'count({{__name__="{metric}"}})',
            "theirs": f"count({metric}{{{theirs}}})",
            "either": f'count({metric}{{namespace=~"{neighbour.namespace}|x"}})',
            "hidden": f'count({metric}{{x="" }} # "\n unless {metric}{{namespace="{world.namespace}"}} # "\n)',
            "before": f"count(count_over_time({metric}{{{theirs}}}[1m] offset 1s))",
            "unread": f'count({metric}{{{theirs} or namespace=""}})',
        }
        signals = [{"name": name, "query": query} for name, query in queries.items()]
        for source in ("open", "held", "elsewhere"):
            world.policy(
                source,
                targetRef={"name": source},
                mode="DryRun",
                metricSource={"name": source},
                signals=signals,
                rules=[rule(name) for name in queries],
            )
        seen = {"own": "Ok", "all": "Ok", "theirs": "Ok", "either": "Ok", "hidden": "Ok", "before": "Ok"}
        for name, verdict in seen.items():
            world.until(lambda n=name, v=verdict: reason(world, n, "open") == v, f"without tenancy: {name}", "open")
        expected = {
            "own": "Ok", "all": "Ok", "theirs": "NoData", "either": "NoData", "hidden": "NoData", "before": "NoData",
            "unread": "BadQuery",
        }  # fmt: skip
        for name, verdict in expected.items():
            world.until(lambda n=name, v=verdict: reason(world, n, "held") == v, f"with tenancy: {name}", "held")
        values = {s["name"]: s.get("value") for s in world.status("held")["signals"]}
        assert values["own"] == values["all"] == "9"
        missing = world.until(
            lambda: (
                c if (c := world.condition("MetricsAvailable", "elsewhere")).get("reason") == "SourceNotFound" else None
            ),
            "a source of other namespaces is none",
            "elsewhere",
        )
        told = f"{world.namespace}; available: default, held, open; metric source"
        assert told in missing["message"]

    def test_the_source_that_a_flag_names_is_limited_too(
        self, world: World, new_operator: Callable[..., Operator]
    ) -> None:
        new_operator().start()
        world.deployment()
        signals = [{"name": "up", "query": "count(up)"}, {"name": "pods", "query": "count(kube_pod_info)"}]
        world.policy(mode="DryRun", signals=signals, rules=[rule(s["name"]) for s in signals])
        world.until(lambda: reason(world, "pods", "checkout") == "Ok", "its own pods are seen")
        world.until(
            lambda: reason(world, "up", "checkout") == "NoData", "what carries another namespace, or none, is not"
        )

    def test_prometheus_reads_the_same_queries(self, cluster: Cluster) -> None:
        """Its own parser, not ours, finds the matcher in every selector."""
        for query in ENFORCED:
            sent = enforce(query, "namespace", "tenant")
            answer = ask_prometheus(cluster, "parse_query", query=sent)
            assert answer["status"] == "success", (sent, answer)
            assert all(held(selector) for selector in nodes(answer["data"]))

    def test_prometheus_finds_no_selector_that_escapes(self, cluster: Cluster) -> None:
        @settings(max_examples=300, deadline=None, database=None, suppress_health_check=list(HealthCheck))
        @given(expressions)
        def tried(query: str) -> None:
            try:
                sent = enforce(query, "namespace", "tenant")
            except TemplateError:
                return
            answer = ask_prometheus(cluster, "parse_query", query=sent)
            if answer["status"] == "success":
                assert all(held(selector) for selector in nodes(answer["data"])), sent

        tried()


def nodes(tree: Any) -> Iterator[Obj]:
    """Every selector in what `/api/v1/parse_query` answers."""
    if isinstance(tree, dict):
        if tree.get("type") in ("vectorSelector", "matrixSelector"):
            yield tree
        for below in tree.values():
            yield from nodes(below)
    elif isinstance(tree, list):
        for below in tree:
            yield from nodes(below)


def held(selector: Obj) -> bool:
    """Whether Prometheus sees the tenant's matcher in it."""
    return {"name": "namespace", "type": "=", "value": "tenant"} in selector["matchers"]


class Front(ThreadingHTTPServer):
    """TLS before Prometheus. It asks for a client's certificate, and for what `accept` says of the headers."""

    daemon_threads = True

    def __init__(self, cluster: Cluster, tls: ssl.SSLContext) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.upstream = urllib.parse.urlsplit(cluster.prometheus_url)
        self.accept: Callable[[Any], bool] = lambda _: True
        self.echo = 0
        self.seen: list[dict[str, str]] = []
        self._tls = tls

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.server_address[1]}"

    def get_request(self) -> tuple[Any, Any]:
        sock, address = super().get_request()
        # The handshake is the handler's thread's business.
        return self._tls.wrap_socket(sock, server_side=True, do_handshake_on_connect=False), address

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that are turned away break off; that is no error here."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Front

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.seen.append(dict(self.headers))
        told = "; ".join(f"{name}: {value}" for name, value in self.headers.items())
        if self.server.echo:
            self._answer(self.server.echo, f"you sent {told}".encode(), "text/plain")
        elif not self.server.accept(self.headers):
            document = {"status": "error", "errorType": "unauthorized", "error": f"not with {told}"}
            self._answer(401, json.dumps(document).encode(), "application/json")
        else:
            connection = http.client.HTTPConnection(str(self.server.upstream.hostname), self.server.upstream.port)
            connection.request("POST", self.path, body, {"Content-Type": self.headers["Content-Type"]})
            answer = connection.getresponse()
            self._answer(answer.status, answer.read(), answer.headers["Content-Type"])
            connection.close()

    def _answer(self, status: int, body: bytes, kind: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


class Gate:
    """A front, and the files with which it is passed."""

    def __init__(self, cluster: Cluster, folder: Path) -> None:
        self.folder = folder
        servers, self.clients = trustme.CA(), trustme.CA()
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        servers.issue_cert("127.0.0.1").configure_cert(tls)
        self.clients.configure_trust(tls)
        tls.verify_mode = ssl.CERT_REQUIRED
        self.front = Front(cluster, tls)
        servers.cert_pem.write_to_path(str(folder / "ca.crt"))
        trustme.CA().cert_pem.write_to_path(str(folder / "other-ca.crt"))
        certificate = self.clients.issue_cert("operator.example")
        certificate.private_key_pem.write_to_path(str(folder / "tls.key"))
        certificate.cert_chain_pems[0].write_to_path(str(folder / "tls.crt"))
        self.write("token", "first-token")

    def write(self, name: str, text: str) -> str:
        """A secret in a file, swapped as a mounted Secret is: at once."""
        new = self.folder / f".{name}.new"
        new.write_text(text)
        new.replace(self.folder / name)
        return str(self.folder / name)

    def source(self, name: str = "front", **changes: Any) -> Obj:
        """A source with everything that the front asks for."""
        found = {
            "name": name,
            "url": self.front.url,
            "ca_file": str(self.folder / "ca.crt"),
            "cert_file": str(self.folder / "tls.crt"),
            "key_file": str(self.folder / "tls.key"),
            "bearer_token_file": str(self.folder / "token"),
            **changes,
        }
        return {key: value for key, value in found.items() if value is not None}


@pytest.fixture
def gate(cluster: Cluster, tmp_path: Path) -> Iterator[Gate]:
    (tmp_path / "gate").mkdir()
    found = Gate(cluster, tmp_path / "gate")
    thread = threading.Thread(target=found.front.serve_forever, daemon=True)
    thread.start()
    yield found
    found.front.shutdown()
    found.front.server_close()
    thread.join()


def guarded(world: World, *sources: str) -> None:
    """For each source a target and a policy, which asks it for one number."""
    for number, source in enumerate(sources):
        world.deployment(source, replicas=1)
        world.policy(
            source,
            targetRef={"name": source},
            mode="DryRun",
            metricSource={"name": source},
            # A text of its own, so that each is asked.
            signals=[{"name": "own", "query": f"vector({number})"}],
            rules=[rule("own")],
        )


class TestCredentials:
    def test_of_every_kind_are_sent(
        self, world: World, gate: Gate, new_operator: Callable[..., Operator], tmp_path: Path
    ) -> None:
        user, password = gate.write("user", "operator"), gate.write("password", "pass:word €")
        sources = [
            gate.source(
                "bearer", headers={"X-Plain": "plain"}, header_files={"X-Scope-OrgID": gate.write("org", "shop\n")}
            ),
            gate.source("basic", bearer_token_file=None, username_file=user, password_file=password),
            gate.source("no-certificate", cert_file=None, key_file=None),
            gate.source("other-authority", ca_file=str(gate.folder / "other-ca.crt")),
            gate.source("no-file", bearer_token_file=str(gate.folder / "nowhere")),
        ]
        new_operator("--config", configured(tmp_path, *sources)).start()
        guarded(world, *(source["name"] for source in sources))
        world.until(lambda: reason(world, "own", "bearer") == "Ok", "bearer and headers", "bearer")
        world.until(lambda: reason(world, "own", "basic") == "Ok", "basic", "basic")
        refusals = {"other-authority": "SourceRefused", "no-file": "SourceRefused"}
        for name, expected in refusals.items():
            world.until(lambda n=name, e=expected: reason(world, "own", n) == e, name, name)
        turned_away = ("SourceRefused", "SourceUnreachable", "CircuitOpen")
        world.until(lambda: reason(world, "own", "no-certificate") in turned_away, "no certificate", "no-certificate")
        assert "nowhere" in world.condition("MetricsAvailable", "no-file")["message"]
        sent = {headers["Authorization"]: headers for headers in gate.front.seen}
        assert sent["Bearer first-token"]["X-Scope-OrgID"] == "shop"
        assert sent["Bearer first-token"]["X-Plain"] == "plain"
        basic = base64.b64encode("operator:pass:word €".encode()).decode()
        assert set(sent) == {"Bearer first-token", f"Basic {basic}"}

    def test_that_are_rotated_are_read_again(
        self, world: World, gate: Gate, new_operator: Callable[..., Operator], tmp_path: Path
    ) -> None:
        wanted = ["Bearer first-token"]
        gate.front.accept = lambda headers: headers["Authorization"] == wanted[0]
        operator = new_operator("--config", configured(tmp_path, gate.source())).start()
        assert operator.process is not None
        process = operator.process.pid
        guarded(world, "front")
        world.until(lambda: reason(world, "own", "front") == "Ok", "the first token is good", "front")
        wanted[0] = "Bearer second-token"
        world.until(lambda: reason(world, "own", "front") == "SourceRefused", "it no longer is", "front")
        gate.write("token", "second-token")
        world.until(lambda: reason(world, "own", "front") == "Ok", "the second is read", "front")
        # A certificate of the same authority in place of the other: connections are made anew.
        before = len(gate.front.seen)
        certificate = gate.clients.issue_cert("rotated.example")
        gate.write("tls.crt", certificate.cert_chain_pems[0].bytes().decode())
        gate.write("tls.key", certificate.private_key_pem.bytes().decode())
        eventually(lambda: len(gate.front.seen) > before + 1, "it goes on with the new certificate")
        world.until(lambda: reason(world, "own", "front") == "Ok", "and measures", "front")
        assert operator.process.pid == process
        assert operator.process.poll() is None


class TestSecrets:
    """A canary in every place where a secret may be; then everything that can go wrong does."""

    def test_are_nowhere_to_be_read(
        self, world: World, cluster: Cluster, new_operator: Callable[..., Operator], tmp_path: Path
    ) -> None:
        numbers = itertools.count()
        canaries: list[str] = []

        def canary() -> str:
            canaries.append(f"canary{next(numbers)}-{os.urandom(8).hex()}")
            return canaries[-1]

        gates = {}
        for name in ("refused", "broken", "gateway", "answered"):
            (tmp_path / name).mkdir()
            gates[name] = Gate(cluster, tmp_path / name)
        fronts = [gate.front for gate in gates.values()]
        threads = [threading.Thread(target=front.serve_forever, daemon=True) for front in fronts]
        for thread in threads:
            thread.start()
        gates["refused"].front.accept = lambda _: False
        gates["broken"].front.echo = 500
        gates["gateway"].front.echo = 403
        gates["answered"].front.echo = 200  # no JSON, but all headers

        def secrets(gate: Gate, **changes: Any) -> Obj:
            gate.write("token", canary())
            return {
                "headers": {"X-Secret": canary()},
                "header_files": {"X-Api-Key": gate.write("api-key", canary() + '"\\"')},
                **changes,
            }

        def basic(gate: Gate) -> Obj:
            user, password = "operator", canary()
            canaries.append(base64.b64encode(f"{user}:{password}".encode()).decode())
            files = {"username_file": gate.write("user", user), "password_file": gate.write("password", password)}
            return {"bearer_token_file": None, **files}

        spare = gates["refused"]
        key = f"-----BEGIN PRIVATE KEY-----\n{canary()}\n-----END PRIVATE KEY-----\n"
        sources = [
            *(gate.source(name, **secrets(gate)) for name, gate in gates.items()),
            *(gate.source(f"{name}-basic", **basic(gate)) for name, gate in gates.items()),
            spare.source("bad-key", key_file=spare.write("bad.key", key)),
            spare.source("bad-authority", ca_file=spare.write("bad.crt", canary()), **secrets(spare)),
            spare.source("other-authority", ca_file=str(spare.folder / "other-ca.crt"), **secrets(spare)),
            spare.source("two-lines", bearer_token_file=spare.write("lines", f"{canary()}\n{canary()}")),
            spare.source("no-header", header_files={"X-Odd": spare.write("odd", canary() + "\u2028")}),
            spare.source("not-latin", header_files={"X-Odd": spare.write("wide", canary() + "日本")}),
        ]
        config = configured(tmp_path, *sources)
        try:
            operator = new_operator("--config", config, "--log-level", "debug").start()
            guarded(world, *(source["name"] for source in sources))
            for source in sources:
                name = source["name"]
                world.until(
                    lambda n=name: world.condition("MetricsAvailable", n).get("status") == "False",
                    f"{name} fails",
                    name,
                )
            shown = {
                "log": operator.log.read_text(),
                "metrics": operator.get("/metrics")[1],
                "page": operator.get("/")[1],
                "list": operator.get("/api/policies")[1],
                "looks": "".join(
                    operator.get(f"/api/policy?namespace={world.namespace}&name={source['name']}")[1]
                    for source in sources
                ),
                "ready": operator.get("/readyz")[1],
                "config": command("config", "--config", config),
                "config as JSON": command("config", "--config", config, "-o", "json"),
                "policies": json.dumps([world.read_policy(source["name"]) for source in sources]),
                "events": json.dumps(
                    world.custom.list_namespaced_custom_object("events.k8s.io", "v1", world.namespace, "events")
                ),
            }
        finally:
            for front, thread in zip(fronts, threads, strict=True):
                front.shutdown()
                front.server_close()
                thread.join()
        # The servers were given them, and repeated them: there was something to hide.
        given = json.dumps([front.seen for front in fronts], ensure_ascii=False)
        assert sum(c in given for c in canaries) >= len(gates) * 3
        assert "you sent" in shown["policies"]
        assert "DEBUG" in shown["log"]
        for place, text in shown.items():
            assert text, place
            assert [c for c in canaries if c in text] == [], f"in {place}"
            assert "canary" not in text, f"a part of one is in {place}"

    @pytest.mark.parametrize(
        "wrong",
        [
            {"url": "https://operator:SECRET@127.0.0.1"},
            {"url": "127.0.0.1", "headers": {"X-Secret": "SECRET"}},
            {"url": "http://127.0.0.1", "password": "SECRET"},
            {"url": "http://127.0.0.1", "headers": "SECRET"},
        ],
    )
    def test_in_a_wrong_configuration_are_not_repeated(self, tmp_path: Path, wrong: Obj) -> None:
        secret = f"canary-{os.urandom(8).hex()}"
        text = json.dumps({"name": "default", **wrong}).replace("SECRET", secret)
        config = configured(tmp_path, json.loads(text))
        told = command("config", "--config", config, code=2)
        assert "sources" in told
        assert secret not in told


def failed(world: World, name: str) -> bool:
    """Whether it is told that a policy's metrics are not there."""
    return bool(world.condition("MetricsAvailable", name).get("status") == "False")


def command(*arguments: str, code: int = 0) -> str:
    """What `resilience-operator` prints."""
    done = subprocess.run(
        [sys.executable, "-m", "resilience_operator.cli.operator", *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT / "operator")},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == code, done.stderr
    return done.stdout + done.stderr
