"""One run: set up, harm and watch for a while, stop the harm, wait for rest, and judge."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from kubernetes import client
from kubernetes.config import new_client_from_config

from tests.chaos.crowd import CALM, MIN, Crowd, Target
from tests.chaos.harm import Harm, Harms, Stage
from tests.chaos.invariants import REST, Invariants
from tests.chaos.witness import Witness
from tests.support.waiting import NeverCameError, eventually

Say = Callable[[str], None]


@dataclass
class Report:
    """What was done, and what came of it."""

    harms: Counter[str]
    moves: Counter[str]
    actions: Counter[str]
    checks: Counter[str]
    violations: list[str]
    seconds_to_rest: float

    def text(self) -> str:
        """For people."""
        lines = ["harm done"]
        lines += [f"  {count:6}  {name}" for name, count in sorted(self.harms.items())]
        lines += ["life led"]
        lines += [f"  {count:6}  {name}" for name, count in sorted(self.moves.items())]
        lines += ["the operator's actions"]
        lines += [f"  {count:6}  {name}" for name, count in sorted(self.actions.items())]
        lines += ["invariants, with the number of checks"]
        lines += [f"  {count:6}  {name}" for name, count in sorted(self.checks.items())]
        lines += [f"at rest {self.seconds_to_rest:.0f} s after the last harm"]
        lines += [f"violations: {len(self.violations) or 'none'}", *(f"  {v}" for v in self.violations)]
        return "\n".join(lines)


def run(
    stage: Stage,
    crowd: Crowd,
    kinds: dict[str, Harm],
    *,
    seconds: float,
    seed: int,
    moves_per_second: float,
    say: Say = print,
    patience: float = 300,
) -> Report:
    """The crowd exists and is guarded; the operator runs."""
    invariants = Invariants(crowd)
    namespaces = sorted({target.world.namespace for target in crowd.targets})
    witness = Witness(stage.cluster, namespaces, invariants.look)
    witness.start()
    # Side by side, and with pauses between those of Prometheus: what is never measured is never judged.
    sources = {name: harm for name, harm in kinds.items() if "prometheus" in name.lower()}
    others = {name: harm for name, harm in kinds.items() if name not in sources}
    harms = [
        Harms(stage, others, random.Random(f"{seed}/harm"), (1.0, 4.0)),
        Harms(stage, sources, random.Random(f"{seed}/sources"), (8.0, 20.0)),
    ]
    stop = threading.Event()
    failures: list[BaseException] = []

    def guarded(work: Callable[..., None], *arguments: Any) -> threading.Thread:
        def body() -> None:
            try:
                work(*arguments)
            except BaseException as error:
                failures.append(error)
                stop.set()

        thread = threading.Thread(target=body, daemon=True)
        thread.start()
        return thread

    say(f"harm for {seconds:.0f} s, seed {seed}")
    threads = [
        *(guarded(harm.go_on, stop) for harm in harms),
        guarded(crowd.live, random.Random(f"{seed}/life"), 1 / moves_per_second, stop),
    ]
    stop.wait(seconds)
    stop.set()
    for thread in threads:
        thread.join(timeout=120)
    stage.api.clear()
    stage.prometheus.clear()
    if failures:
        raise failures[0]
    say("no more harm; waiting for rest")
    began = time.monotonic()
    crowd.rest()
    _until_rest(crowd, invariants, began + patience)
    rest = time.monotonic() - began
    witness.stop()
    invariants.account(witness.account)
    custom = client.CustomObjectsApi(new_client_from_config(str(stage.cluster.kubeconfig)))
    for namespace in namespaces:
        events = custom.list_namespaced_custom_object("events.k8s.io", "v1", namespace, "events")["items"]
        invariants.events(events, witness.account)
    invariants.audit(stage.cluster.audit_log, set(namespaces), stage.away)
    actions = Counter(told.action for all_told in witness.account.told.values() for told in all_told)
    return Report(harms[0].done + harms[1].done, crowd.moves, actions, invariants.checks, invariants.violations, rest)


def _until_rest(crowd: Crowd, invariants: Invariants, until: float) -> None:
    """Wait until each target is at rest.

    A bad version is proven bad also if it began in a metrics outage: no outage here is as long as the counts of the
    last good state are valid.
    """
    for target in crowd.targets:
        try:
            eventually(lambda t=target: not _unrest(t), "rest", patience=max(1, until - time.monotonic()))  # type: ignore[misc]
        except NeverCameError:
            invariants.check(REST, False, f"{target.key}: {_unrest(target)}")
        else:
            invariants.check(REST, True, "")


def _told(status: dict[str, Any]) -> str:
    """What the policy says of a release, and what it remembers of it."""
    healthy = next((c for c in status.get("conditions", ()) if c["type"] == "ReleaseHealthy"), {})
    release = status.get("memory", {}).get("release", {})
    kept = {key: release.get(key) for key in ("before", "okBefore", "scores", "charged", "unproven", "rolledFrom")}
    return f"{healthy.get('status')} {healthy.get('reason')}: {healthy.get('message')}; {kept}"


def _unrest(target: Target) -> str:
    """In what a target has not come to rest; empty when it has."""
    world, name = target.world, target.name
    found, status = world.get(name), world.status(name)
    tag = world.running(name)
    conditions = {c["type"]: c["status"] for c in status.get("conditions", ())}
    phase = status.get("target", {}).get("phase")
    wrong = [
        f"paused in phase {phase}" if found["spec"].get("paused") else "",
        f"phase {phase}" if phase != "Stable" else "",
        f"runs the bad version {tag}, told {_told(status)}" if tag in target.bad else "",
        f"{found['spec']['replicas']} pods under a load of {CALM:g} cores" if found["spec"]["replicas"] != MIN else "",
        f"Ready is {conditions.get('Ready')}" if conditions.get("Ready") != "True" else "",
        f"MetricsAvailable is {conditions.get('MetricsAvailable')}"
        if conditions.get("MetricsAvailable") != "True"
        else "",
        "an intent is left" if status.get("memory", {}).get("intent") else "",
    ]
    return ", ".join(w for w in wrong if w)
