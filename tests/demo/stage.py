"""The stage: a cluster of its own, the operator under its own ServiceAccount, and a service to guard."""

from __future__ import annotations

import contextlib
import fcntl
import json
import shutil
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.cluster import Cluster, ClusterError, Options, down, up
from tests.cluster.processes import Process, Records, mark_of
from tests.cluster.settings import LOCAL
from tests.demo.prelude import play_while_building
from tests.demo.view import NAME
from tests.support.install import NAMESPACE, SERVICE_ACCOUNT, install, operator_kubeconfig
from tests.support.operator import Operator
from tests.support.world import World

STATE = LOCAL / "demo"
PORTS = 27600
SHOP = "shop"
POLICY = Path(__file__).with_name("policy.yaml")
FAILED_LOG = LOCAL / "demo-operator.log"
"""Where the operator's log is left when an act failed."""

CALM, BUSY, RUSH = 30.0, 57.0, 78.0
"""Requests/s for the whole service. On three pods of 100m CPU, at 5 ms of it a request: 50%, 95% and 130%."""

SIDE_BY_SIDE = {
    "minReadySeconds": 10,
    "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
}
"""A careful rollout: one pod at a time, each tried for 10 s beside the old ones."""

Say = Callable[[str], None]


@dataclass(frozen=True)
class Stage:
    """What the acts play on."""

    cluster: Cluster
    operator: Operator | None
    """Its process, where it is one of ours and not a pod's."""
    world: World

    def broken(self) -> str:
        """Why nothing more can happen, or empty."""
        process = self.operator.process if self.operator is not None else None
        if process is None or process.poll() is None:
            return ""
        return f"the operator ended with {process.returncode}"

    def writes(self) -> int:
        """How often the operator's account wrote to a workload, as the API server's audit log has it."""
        account = f"system:serviceaccount:{NAMESPACE}:{SERVICE_ACCOUNT}"
        found = 0
        with self.cluster.audit_log.open() as log:
            for line in log:
                # Most lines are of others; and the last one may be half written still.
                if account in line and line.endswith("\n"):
                    found += _is_write(json.loads(line), account)
        return found


def _is_write(entry: dict[str, object], account: str) -> bool:
    user, ref = entry.get("user"), entry.get("objectRef")
    return (
        isinstance(user, dict)
        and isinstance(ref, dict)
        and user.get("username") == account
        and entry.get("verb") in ("create", "update", "patch", "delete", "deletecollection")
        and ref.get("resource") in ("deployments", "replicasets", "horizontalpodautoscalers")
    )


@contextmanager
def alone() -> Iterator[None]:
    """One demo at a time in a checkout. Raises ClusterError when there is one."""
    LOCAL.mkdir(exist_ok=True)
    with (LOCAL / "demo.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ClusterError("another demo is running in this checkout") from None
        yield


def clear(say: Say) -> None:
    """Stop what an earlier demo left running."""
    if (STATE / "cluster.json").exists():
        say("an earlier demo was left running: it is stopped first")
        down(STATE, say=lambda _: None)


def set_up(say: Say, ports: int = PORTS) -> Stage:
    """Bring everything up, from nothing. ports: the first of a row of free ones on loopback."""
    clear(say)
    play_while_building(say)
    cluster = up(Options(state=STATE, ports=ports), say=say)
    install(cluster)
    say("installed from manifests/base: the CRD, the ServiceAccount and its roles")
    with ThreadPoolExecutor(1) as beside:
        starting = beside.submit(_start_operator, cluster)
        world = World(cluster, SHOP).create()
        world.load.workload(SHOP, NAME, rps=CALM)
        world.deployment(NAME, replicas=3, tag="1.0", **SIDE_BY_SIDE)
        say(f"deployed {SHOP}/{NAME}: 3 pods of image {NAME}:1.0, {CALM:.0f} requests/s")
        operator = starting.result()
    say(f"the operator runs, as ServiceAccount {NAMESPACE}/{SERVICE_ACCOUNT}")
    world.policy(NAME, text=POLICY.read_text())
    return Stage(cluster, operator, world)


def _start_operator(cluster: Cluster) -> Operator:
    operator = Operator(
        operator_kubeconfig(cluster, STATE / "operator.kubeconfig"),
        cluster.prometheus_url,
        cluster.layout.log("resilience-operator"),
        # Values that are only shown are written at every evaluation, so that there is something to see.
        environment={"RESILIENCE_REFRESH_SECONDS": "1"},
    )
    try:
        return operator.start()
    finally:
        if operator.process is not None:
            # Known to the cluster's own records, it is stopped with the cluster: now, or after --keep.
            process = Process(operator.process.pid, mark_of(operator.process.pid) or "ended")
            Records(cluster.layout.processes).write("resilience-operator", process)


def tear_down(say: Say) -> None:
    """Stop everything that was started, whatever was; a second Ctrl-C does not interrupt it."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)

    def quietly(text: str) -> None:
        # The terminal may be gone, which is no reason to leave a cluster behind.
        with contextlib.suppress(OSError):
            say(text)

    down(STATE, say=quietly)


def keep_log() -> Path | None:
    """Save the operator's log from being removed with the state."""
    log = STATE / "logs" / "resilience-operator.log"
    return Path(shutil.copy(log, FAILED_LOG)) if log.exists() else None
