"""Hostile objects, made from a seed: the same seed makes the same objects."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from tests.fuzz.text import Raw, nested

Obj = dict[str, Any]
GROUP = "resilience-operator.io"


@dataclass(frozen=True)
class Kind:
    """A kind, and where it is. weight: its share of the objects."""

    name: str
    api: str
    plural: str
    weight: int
    namespaced: bool = True


KINDS = (
    Kind("Deployment", "apis/apps/v1", "deployments", 5),
    Kind("StatefulSet", "apis/apps/v1", "statefulsets", 3),
    Kind("DaemonSet", "apis/apps/v1", "daemonsets", 2),
    Kind("ReplicaSet", "apis/apps/v1", "replicasets", 5),
    Kind("ControllerRevision", "apis/apps/v1", "controllerrevisions", 4),
    Kind("HorizontalPodAutoscaler", "apis/autoscaling/v2", "horizontalpodautoscalers", 4),
    Kind("Node", "api/v1", "nodes", 2, namespaced=False),
    Kind("ResiliencePolicy", f"apis/{GROUP}/v1alpha1", "resiliencepolicies", 8),
)


@dataclass(frozen=True)
class Victim:
    """A workload that the objects try to reach."""

    namespace: str
    name: str
    uid: str


TEXTS = (
    "", " ", "\x00", "\n", "\t\r", "\u202eevil", "\ud800", "\udfff\ud800", "🦀" * 50, "日本語", "Ünïcödé", "\ufeff",
    "</script><script>", "'; DROP TABLE", "{{namespace}}", "%s%n", "../..", "null", "NaN", "a" * 5000, "１２",
)  # fmt: skip
MOMENTS = (
    "9999-12-31T23:59:59-23:59", "9999-12-31T23:59:59.999999Z", "0001-01-01T00:00:00Z", "0001-01-01T00:00:00+23:59",
    "2099-01-01T00:00:00Z", "1969-12-31T23:59:59Z", "2026-02-30T00:00:00Z", "now", "", "1e400", "9" * 5000, "2026-W01",
    "-0001-01-01T00:00:00Z", "20260101T000000Z", "2026-01-01T24:00:00Z", "2026-01-01T00:00:60Z",
)  # fmt: skip
NUMBERS: tuple[Any, ...] = (
    0, -1, 1, 2**31 - 1, -(2**31), 2**31, 2**53, 2**63 - 1, -(2**63), 2**63, 2**64, 10**30, 0.5, 1e308, -1e308, 1e-320,
    Raw("1e400"), Raw("-1e400"), Raw("-0"), Raw("1" * 400), Raw("0." + "0" * 400 + "1"), "1", "", None, True, [], {},
)  # fmt: skip
COUNTS = (0, 0, 0, 1, 2, -1, 2**31 - 1, 2**31, 2**63, Raw("1e400"), 0.5, "1", None)
DIGITS = ("9" * 5000, "-1", "0", "1", "1e5", "٣", "0x10", "1_000", " 5 ", "", "9" * 4300, "NaN", "2147483648")
QUERIES = (
    "up", "vector(1)", "1", "not promql }{", "#\r" + "1+" * 1000 + "1", "(" * 1000 + "1" + ")" * 1000, "-" * 2000 + "1",
    '"' + '\\"' * 2000, "up" * 2048, "max_over_time(vector(1)[1h:1s])", 'up{x=~"' + "(a+)+" * 50 + '$"}', "up @ -1.5",
    "sum by (" + ",".join(f"l{n}" for n in range(300)) + ") (up)", "1" + " + 1" * 298, "\u202eup", "up offset -1d",
    'count({__name__=~".+"})', "vector(time() % 10 > bool 5)", "`\\d`", "{}", "up == bool NaN", "1e308 * 1e308",
)  # fmt: skip
DURATIONS = ("0s", "1s", "5s", "10m", "168h", "1.5h", "0.001s", "9" * 40 + "h", "1e9s", "-1s", "1m30s", "")


class Maker:
    """Makes objects for these namespaces. victims: the workloads that owner references and targets claim."""

    def __init__(self, random: Random, namespaces: Sequence[str], victims: Sequence[Victim]) -> None:
        self._random = random
        self._namespaces = namespaces
        self._victims = victims
        self._makers: dict[str, Callable[[Obj], Obj]] = {
            "Deployment": self._deployment,
            "StatefulSet": self._stateful_set,
            "DaemonSet": self._daemon_set,
            "ReplicaSet": self._replica_set,
            "ControllerRevision": self._controller_revision,
            "HorizontalPodAutoscaler": self._autoscaler,
            "Node": self._node,
            "ResiliencePolicy": self._policy,
        }

    def make(self, kind: Kind, name: str) -> Obj:
        """An object of a kind: mostly sound, with one or a few parts that are not."""
        meta: Obj = {"name": name}
        if kind.namespaced:
            meta["namespace"] = self._random.choice(self._namespaces)
        return self.filled(kind, meta)

    def filled(self, kind: Kind, meta: Obj) -> Obj:
        """An object with that name and namespace."""
        body = {"apiVersion": kind.api.partition("/")[2], "kind": kind.name, "metadata": self._metadata(dict(meta))}
        return self._makers[kind.name](body)

    def status(self) -> Obj:
        """A forged status of a policy: a memory that claims a rollback under way, with odd parts."""
        r = self._random
        memory: Obj = {
            "targetUid": r.choice(self._victims).uid,
            "rules": {"r0": {"timers": [{"verdict": "Breach", "since": self._moment()}], "breach": self._moment()}},
            "scaling": {"baseline": self._moment(), "seen": self._moment(), "held": self._moment()},
            "release": {
                "phase": self._mostly(r.choice(("Paused", "Stable", "Progressing", "RollingBack")), ("Nonsense", 1)),
                "since": self._moment(),
                "revision": "a",
                "good": r.choice(("b", "a", *TEXTS)),
                "goodTemplate": r.choice(("", *TEXTS)),
            },
            "intent": {
                "at": self._moment(),
                "commands": [{"verb": r.choice(("rollback", "scaleUp")), "reason": "x", "message": "", "to": "b"}],
            },
            "told": r.choices(TEXTS, k=3),
            "metricsGone": self._moment(),
        }
        odd: tuple[object, ...] = (
            *({**memory, "x": nested(levels, r.choice(("", "a")))} for levels in (200, 253, 254, 300, 1000, 2000)),
            {"release": self._number()},
            {**memory, "x": self._number()},
            {**memory, "x": Raw("1" * 400)},
            {"x": nested(1990)},
        )
        condition = {
            "type": "Ready",
            "status": "True",
            "reason": "Forged",
            "message": r.choice(TEXTS),
            "lastTransitionTime": self._mostly("2026-01-01T00:00:00Z", MOMENTS),
        }
        return {"status": {"memory": self._mostly(memory, odd, 0.5), "conditions": [condition]}}

    def _moment(self) -> object:
        return self._mostly(1.7e9, (*NUMBERS, 1e308, 2**63, 10**19, -1e18), 0.2)

    def _number(self) -> object:
        return self._random.choice(NUMBERS)

    def _mostly(self, sound: Any, odd: Sequence[Any], share: float = 0.08) -> Any:
        """What is sound, but now and then one of what is odd. Too much of it, and the API server refuses nearly all."""
        return self._random.choice(odd) if self._random.random() < share else sound

    def _metadata(self, meta: Obj) -> Obj:
        r = self._random
        annotations: Obj = {}
        if r.random() < 0.5:
            annotations = {
                f"{GROUP}/paused-until": r.choice(MOMENTS),
                f"{GROUP}/pause-reason": r.choice(TEXTS),
                f"{GROUP}/paused-by": r.choice(TEXTS),
                f"{GROUP}/original-min-replicas": r.choice(DIGITS),
                f"{GROUP}/original-partition": r.choice(DIGITS),
                f"{GROUP}/trace-id": r.choice(TEXTS),
                "deployment.kubernetes.io/revision": r.choice(DIGITS),
                "kubernetes.io/change-cause": r.choice(TEXTS),
            }
            annotations = dict(r.sample(sorted(annotations.items(), key=str), r.randint(1, len(annotations))))
        if r.random() < 0.05:
            annotations["example.org/huge"] = r.choice("xé") * r.choice((1000, 100_000, 125_000, 250_000))
        if annotations:
            meta["annotations"] = annotations
        if r.random() < 0.2:
            meta["managedFields"] = [self._managed()]
        if r.random() < 0.3:
            victim = r.choice(self._victims)
            meta["ownerReferences"] = [
                {
                    "apiVersion": r.choice(("apps/v1", "apps/v1", "example.org/v1")),
                    "kind": r.choice(("Deployment", "StatefulSet", "DaemonSet", "ScaledObject")),
                    "name": victim.name,
                    "uid": victim.uid,
                    "controller": r.choice((True, True, False)),
                }
            ]
        if r.random() < 0.1:
            meta["finalizers"] = ["example.org/held"]
        meta["labels"] = {"app": r.choice([v.name for v in self._victims]), "pod-template-hash": "x"}
        return meta

    def _managed(self) -> Obj:
        r = self._random
        return {
            "manager": self._mostly(
                "resilience-operator", ("https://login.example/reset", "x" * 128, "🦀", "x" * 129), 0.5
            ),
            "operation": r.choice(("Update", "Apply")),
            "apiVersion": "v1",
            "time": r.choice(("2026-01-01T00:00:00Z", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z")),
            "fieldsType": "FieldsV1",
            "fieldsV1": r.choice(
                (
                    {"f:spec": {"f:paused": {}, "f:replicas": {}, "f:template": {}}},
                    {"f:spec": nested(r.choice((10, 254, 1030, 1030, 1100)), "f:a", "{}")},
                    nested(r.choice((1030, 1100, 1100, 1990)), "f:a", "{}"),
                    nested(2100, "f:a", "{}"),
                    {"f:spec": {"f:template": {"f:spec": {"f:containers": nested(1200, 'k:{"name":"x"}', "{}")}}}},
                    {"f:spec": {"f:updateStrategy": {"f:rollingUpdate": {}}}},
                )
            ),
        }

    def _template(self, app: str) -> Obj:
        r = self._random
        metadata: Obj = {"labels": {"app": app}}
        if r.random() < 0.2:
            metadata["annotations"] = {"example.org/x": r.choice(TEXTS)}
        spec: Obj = {"containers": [{"name": "app", "image": self._mostly("app:1", ("x" * 2000, "日本:1", "\ud800"))}]}
        if r.random() < 0.3:
            spec["nodeSelector"] = {r.choice(("kubernetes.io/arch", "topology.kubernetes.io/zone")): "nowhere"}
        if r.random() < 0.2:
            term = {"key": "x", "operator": self._mostly("In", ("Gt", "Exists")), "values": r.choice((["1"], ["a"]))}
            spec["affinity"] = {
                "nodeAffinity": {
                    "requiredDuringSchedulingIgnoredDuringExecution": {
                        "nodeSelectorTerms": [{"matchExpressions": [term]}] * r.choice((1, 100))
                    }
                }
            }
        if r.random() < 0.2:
            spec["containers"][0]["resources"] = {
                "requests": {"cpu": r.choice(("1e9", "100m", "1E", "0", "-1", "1e-9"))}
            }
        return {"metadata": metadata, "spec": spec}

    def _workload(self, body: Obj, **spec: Any) -> Obj:
        app = body["metadata"]["name"]
        selector: Obj = {"matchLabels": {"app": app}}
        if self._random.random() < 0.2:
            selector["matchExpressions"] = [{"key": "app", "operator": "Exists"}] * self._random.choice((1, 50))
        return {**body, "spec": {"selector": selector, "template": self._template(app), **spec}}

    def _deployment(self, body: Obj) -> Obj:
        r = self._random
        return self._workload(
            body,
            replicas=self._mostly(r.choice((0, 1, 3, 2**31 - 1)), COUNTS),
            paused=r.choice((True, False)),
            minReadySeconds=self._mostly(0, (2**31 - 1, -1, 600)),
            revisionHistoryLimit=r.choice((0, 10, 2**31 - 1)),
        )

    def _stateful_set(self, body: Obj) -> Obj:
        r = self._random
        # The controller makes a list as long as `replicas`, so a large number is not for a cluster to be kept.
        return self._workload(
            body,
            replicas=self._mostly(r.choice((0, 1, 3)), (-1, 2**31, Raw("1e400"))),
            serviceName=r.choice(("x", "y")),
            updateStrategy={
                "type": "RollingUpdate",
                "rollingUpdate": {"partition": self._mostly(r.choice((0, 1, 2**31 - 1)), (-1, 2**31))},
            },
        )

    def _daemon_set(self, body: Obj) -> Obj:
        found = self._workload(body, revisionHistoryLimit=self._random.choice((0, 1, 2**31 - 1)))
        found["spec"]["template"]["spec"]["nodeSelector"] = {"example.org/none": "x"}
        return found

    def _replica_set(self, body: Obj) -> Obj:
        return self._workload(body, replicas=self._mostly(self._random.choice((0, 1, 2**31 - 1)), COUNTS))

    def _controller_revision(self, body: Obj) -> Obj:
        r = self._random
        data = r.choice(
            (
                {"spec": {"template": self._template("x")}},
                {
                    "spec": {
                        "template": {"metadata": r.choice(([], "x", {"labels": [1]}, None)), "spec": self._number()}
                    }
                },
                {"spec": {"template": self._template("y")}},
                {"spec": {"template": nested(r.choice((500, 1000, 1100, 3000)), "a")}},
                {"a": nested(r.choice((1024, 5000)))},
                nested(r.choice((900, 1024, 1100, 5000, 9000)), r.choice(("", "a"))),
                self._number(),
                {"x": self._number()},
                {"x": "\ud800"},
                None,
            )
        )
        revision = self._mostly(r.choice((0, 1, 99, 2**63 - 1)), (-1, -(2**63), 2**63, 0.5, "1"))
        return {**body, "data": data, "revision": revision}

    def _autoscaler(self, body: Obj) -> Obj:
        r = self._random
        target = {
            "apiVersion": self._mostly("apps/v1", ("example.org/v1", "")),
            "kind": r.choice(("Deployment", "StatefulSet", "Fleet")),
            "name": r.choice((f"f{r.randint(0, 300)}", *[v.name for v in self._victims])),
        }
        metric = {
            "type": "Resource",
            "resource": {
                "name": "cpu",
                "target": {"type": "Utilization", "averageUtilization": self._mostly(50, COUNTS)},
            },
        }
        return {
            **body,
            "spec": {
                "scaleTargetRef": target,
                "minReplicas": self._mostly(1, (0, 2**31 - 1, -1, 2**31)),
                "maxReplicas": self._mostly(r.choice((1, 5, 2**31 - 1)), (2**63, 0)),
                "metrics": [metric] * r.choice((1, 20)),
            },
        }

    def _node(self, body: Obj) -> Obj:
        r = self._random
        body["metadata"]["labels"] = {"topology.kubernetes.io/zone": self._mostly("z", ("x" * 63, "", "-", "é"))}
        taint = {"key": "example.org/none", "effect": "NoSchedule"}
        capacity = {
            "cpu": self._mostly("1", ("1e9", "1E", "0", "9" * 100)),
            "pods": self._mostly("0", ("9" * 40, "-1")),
        }
        return {
            **body,
            "spec": {"unschedulable": True, "taints": [taint], "providerID": r.choice(TEXTS)},
            "status": {"capacity": capacity, "conditions": [{"type": "Ready", "status": "True"}]},
        }

    def _policy(self, body: Obj) -> Obj:
        r = self._random
        own = r.random() < 0.6
        signals = [self._signal(f"s{number}", own) for number in range(self._mostly(r.choice((1, 2)), (8, 63, 64, 65)))]
        action = self._mostly(
            r.choice(({"alert": {}}, {"scaleUp": {"pods": 1}}, {"pauseRollout": {}}, {"rollback": {"after": "5s"}})),
            (
                {"scaleUp": {"pods": self._number()}},
                {"rollback": {"after": r.choice(DURATIONS)}},
                {"plugin": {"name": "none", "with": {"a": nested(r.choice((5, 300, 1000, 1500, 2000)))}}},
                {"plugin": {"name": "none", "with": {"a": self._number()}}},
                {"plugin": {"name": "none", "with": {"a": r.choice(TEXTS)}}},
            ),
            0.3,
        )
        threshold = self._mostly(1, (0, "70%", "1s", *NUMBERS, *DIGITS), 0.3)
        when = {"signal": "s0", self._mostly("above", ("below", "above", "equals")): threshold}
        count = self._mostly(1, (2, 32, 128, 129))
        spec: Obj = {
            "targetRef": {
                "apiVersion": "apps/v1",
                "kind": r.choice(("Deployment", "Deployment", "StatefulSet", "DaemonSet")),
                "name": r.choice((f"f{r.randint(0, 300)}", *[v.name for v in self._victims])),
            },
            "mode": r.choice(("Enforce", "Enforce", "DryRun", "Suspended")),
            "interval": self._mostly("5s", DURATIONS),
            "replicas": {"min": self._mostly(1, (0, -1)), "max": self._mostly(2, (2**31 - 1, 2**31, 2**63))},
            "signals": signals,
            "rules": [{"name": f"r{n}", "when": when, "then": [action]} for n in range(count)],
        }
        return {**body, "spec": spec}

    def _signal(self, name: str, own: bool) -> Obj:
        r = self._random
        signal: Obj = {"name": name}
        if own:
            signal |= {"query": self._mostly("vector(2)", QUERIES, 0.6), "unit": "number"}
            if r.random() < 0.2:
                signal["samplesQuery"] = r.choice(QUERIES)
        else:
            signal["preset"] = self._mostly("cpu", ("latency-p99", "error-rate", "unheard-of"), 0.3)
            signal["window"] = r.choice(("15s", "1m", "37s", "167h"))
        if r.random() < 0.1:
            signal["window"] = r.choice(DURATIONS)
        return signal
