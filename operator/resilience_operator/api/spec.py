"""The spec of a policy."""

from collections import Counter
from collections.abc import Iterable, Iterator
from enum import StrEnum
from typing import Annotated, ClassVar, Literal

from pydantic import Field, StrictBool, StrictInt

from .base import SpecModel
from .checks import Check, cel_list, cel_string
from .configuration import Configuration
from .dependencies import DEPENDENCIES_LIMIT, Dependency
from .fields import Bake, BakeField, Duration, RateField, duration_field
from .freeze import FREEZES_LIMIT, Freeze
from .quantities import parse_duration
from .rules import Condition, Rule
from .signals import (
    BUILT_IN_SIGNALS,
    COMPARABLE_PRESETS,
    QUERIES_MAX_LENGTH,
    SHARED_WINDOWS,
    MetricSource,
    Signal,
    is_comparable,
    look_back,
)
from .target import WORKLOADS, Replicas, TargetRef

RULES_LIMIT = 128
"""Maximum rules of one policy. The API server limits the cost of validation, so the list must be bounded."""

CONDITIONS_IN_ALL = 256
"""Maximum conditions of all rules together. It bounds the cost of an evaluation and of the stored memory."""

ACTIONS_IN_ALL = 256
"""Maximum entries of `then` of all rules together."""

SIGNALS_LIMIT = 64
"""Maximum declared signals of one policy."""

SHARED_INTERVAL = 5.0
"""Default interval in seconds. Without an interval, a custom query that is expensive is sent less often."""

SHORTEST_OWN_INTERVAL = "5s"
"""The minimum interval of those policies."""


class Mode(StrEnum):
    """What the operator may do for the policy."""

    ENFORCE = "Enforce"
    DRY_RUN = "DryRun"
    SUSPENDED = "Suspended"


class ScaleDown(SpecModel):
    """Scale down to what the load needs; never on Unknown, never while pods of two revisions run."""

    enabled: StrictBool = Field(default=True, description="false: never scale down. Default true.")
    after: Duration = Field(
        default=300.0,
        description=(
            "How long fewer pods must have been sufficient, like 5m (default). Then the target is scaled down in one "
            "step, to the highest number that this time needed."
        ),
    )
    pods: Annotated[StrictInt, Field(ge=1, le=100_000)] | None = Field(
        default=None,
        description=(
            "Maximum pods to remove in one step, once per `after`. Default: no limit. Set at most one of pods and "
            "percent."
        ),
    )
    percent: Annotated[StrictInt, Field(ge=1, le=100)] | None = Field(
        default=None,
        description=(
            "Maximum percentage of the current replicas to remove in one step, at least one pod, once per `after`. "
            "Set at most one of pods and percent."
        ),
    )

    checks: ClassVar[tuple[Check, ...]] = (
        Check(
            message="scaleDown allows only one of pods and percent: keep one of them",
            holds=lambda down: down.pods is None or down.percent is None,
            cel="!has(self.pods) || !has(self.percent)",
        ),
    )


ProgressDeadline = Annotated[float, duration_field("5s")]
"""Seconds."""


Quarantine = Annotated[float, duration_field("1m")]
"""Seconds."""


class Release(SpecModel):
    """How a new revision is judged during its rollout and its bake."""

    bake: BakeField = Field(
        default=Bake(600.0),
        description=(
            "How long a release is observed after its last pod is ready, like 10m (default). Only then does the "
            "revision become a rollback target. Only time counts in which all pods are ready and the signals are "
            "measured. Or {atMost: 10m, untilProven: 20%}: the bake ends early once it is proven that no compared "
            "signal is worse by 20%."
        ),
    )
    compare: Literal["Revisions"] = Field(
        default="Revisions",
        description=(
            "How a release is judged. Revisions (default): only breaches that the new revision alone causes "
            "count against it."
        ),
    )
    fail_on_progress_deadline: StrictBool = Field(
        default=False,
        description=(
            "true: a release that exceeds the target's progressDeadlineSeconds counts as failing. Default false."
        ),
    )
    pod_failures: Literal["Act", "Report"] = Field(
        default="Act",
        description=(
            "What failing pods of the new revision mean: crash loops, image and configuration errors, pods that "
            "never become ready. Act (default): they count like a breach of the rules that pause or roll back, unless "
            "the old revision fails alike. Report: they are only reported."
        ),
    )
    progress_deadline: ProgressDeadline | None = Field(
        default=None,
        description=(
            "How long a StatefulSet or DaemonSet may roll out without another ready pod, like 10m (default). A "
            "Deployment has progressDeadlineSeconds for it."
        ),
    )
    resume: StrictBool = Field(
        default=True,
        description=(
            "true (default): resume a paused release after its signals were Ok for a whole window, at most twice. "
            "false: it stays paused until it is rolled back or a person resumes it; Warning events remind of it."
        ),
    )
    quarantine: Quarantine = Field(
        default=86400.0,
        description=(
            "How long a revision that was rolled back stays quarantined, like 24h (default). In this time it is rolled "
            "back at once if it is applied again. `kubectl resilience release` ends a quarantine earlier."
        ),
    )
    false_alarms: RateField = Field(
        default=0.001,
        description=(
            "Probability that a release that is not worse than its baseline is held for worse, over the whole "
            "release, like 0.1% (default). All rules of the policy share it. A smaller one needs more requests."
        ),
    )
    warm_up: Duration | None = Field(
        default=None,
        description=(
            "How long the latency of a new pod does not count against the release, like 30s: caches are cold and code "
            "is not compiled yet. Default: learned from the target's good releases, between 10s and 5m; 30s until "
            "then. Failures always count."
        ),
    )
    git_ops: Literal["Ignore", "Tell", "Hold"] = Field(
        default="Tell",
        description=(
            "What to do about the tool that applies the target from git. Tell (default): record an Event on its "
            "Application (Argo CD), Kustomization or HelmRelease (Flux) as well when a release is paused or rolled "
            "back. Hold: as Tell; after a rollback, Flux also leaves the target as it is until its source changes. All "
            "other objects are reconciled as before. Ignore: neither."
        ),
    )
    configuration: Configuration | None = Field(
        default=None,
        description=(
            "Configuration that belongs to the revision, like {include: Referenced}. The ConfigMaps that the pod "
            "template reads are kept when a revision ends its bake. A change of them alone is judged like a release. A "
            "rollback restores them with the template. Default: a rollback restores the template only."
        ),
    )
    freeze: Annotated[tuple[Freeze, ...], Field(max_length=FREEZES_LIMIT)] = Field(
        default=(),
        description=(
            "Times in which no new release begins, like [{cron: 0 18 * * FRI, for: 62h, timeZone: Europe/Berlin}]. The "
            "rollout is paused at the start, so that a new pod template waits for the end. Scaling, pausing and "
            "rollbacks go on. A person who resumes the rollout ends the freeze for this target."
        ),
    )


class Hold(SpecModel):
    """Keep the current replicas. Written as {}."""


class Fallback(SpecModel):
    """What to do when metrics are unavailable."""

    after: Duration = Field(
        default=180.0,
        description="How long metrics must be unavailable before the fallback applies, like 3m (default).",
    )
    hold: Hold | None = Field(default=None, description="Keep the current replicas (default). Written as hold: {}.")
    replicas: Annotated[StrictInt, Field(ge=1, le=100_000)] | None = Field(
        default=None,
        description=(
            "Raise the target to this number of replicas, never below the current number and never above "
            "replicas.max. Instead of hold."
        ),
    )

    checks: ClassVar[tuple[Check, ...]] = (
        Check(
            message="fallback allows only one of hold and replicas: keep one of them",
            holds=lambda fallback: fallback.hold is None or fallback.replicas is None,
            cel="!has(self.hold) || !has(self.replicas)",
        ),
    )


def asks_itself(spec: "PolicySpec") -> bool:
    """Whether the policy has custom queries."""
    return any(signal.query is not None for signal in spec.signals)


def asks_alone(spec: "PolicySpec") -> bool:
    """Whether the policy has queries of its own: a custom query, or a preset with a long window or a container."""
    return any(
        signal.query is not None or signal.container is not None or look_back(signal) > SHARED_WINDOWS[-1]
        for signal in spec.signals
    )


def _query_characters(spec: "PolicySpec") -> int:
    return sum(len(signal.query or "") + len(signal.samples_query or "") for signal in spec.signals)


_CEL_QUERY_CHARACTERS = (
    "self.signals.map(signal, (has(signal.query) ? size(signal.query) : 0)"
    " + (has(signal.samplesQuery) ? size(signal.samplesQuery) : 0)).sum()"
)


def interval_of(spec: "PolicySpec") -> float:
    """Seconds between two evaluations."""
    return SHARED_INTERVAL if spec.interval is None else spec.interval


def _used(spec: "PolicySpec", field: str) -> bool:
    """Whether any rule does `field`."""
    return any(getattr(action, field) is not None for rule in spec.rules for action in rule.then)


def _cel_used(verb: str) -> str:
    return f"self.rules.exists(rule, rule.then.exists(action, has(action.{verb})))"


def _located_conditions(spec: "PolicySpec") -> Iterator[tuple[Rule, Condition]]:
    for rule in spec.rules:
        for condition in rule.when.conditions:
            yield rule, condition


def _unknown(spec: "PolicySpec", used: Iterable[str]) -> list[str]:
    return sorted({*used} - {*BUILT_IN_SIGNALS, *(signal.name for signal in spec.signals)})


def _unknown_signals(spec: "PolicySpec") -> list[str]:
    return _unknown(spec, (condition.signal for _, condition in _located_conditions(spec)))


_CEL_KNOWN = f"({cel_list(BUILT_IN_SIGNALS)} + (has(self.signals) ? self.signals.map(signal, signal.name) : []))"
# The list of one list binds the known names to a variable, so that they are computed once and not per rule.
_CEL_RULE_KNOWN = (
    "(!has(rule.when.signal) || rule.when.signal in known)"
    " && (!has(rule.when.all) || rule.when.all.all(each, each.signal in known))"
    " && (!has(rule.when.any) || rule.when.any.all(each, each.signal in known))"
)
_CEL_SIGNALS_KNOWN = f"[{_CEL_KNOWN}].all(known, self.rules.all(rule, {_CEL_RULE_KNOWN}))"
_DECLARE_SIGNAL = f"declare it in spec.signals, or use one of {', '.join(BUILT_IN_SIGNALS)}"


def _misfit(spec: "PolicySpec", used: "Condition | Dependency") -> str | None:
    """Return the unit of the signal if that of the threshold differs from it."""
    units = {**BUILT_IN_SIGNALS, **{s.name: s.unit for s in spec.signals if s.unit or s.query}}
    threshold, unit = used.above or used.below, units.get(used.signal)
    return unit if threshold and unit and not threshold.fits(unit) else None


def _misfits(spec: "PolicySpec") -> list[str]:
    """Messages for thresholds whose unit differs from their signal's."""
    found: list[str] = []
    for rule, condition in _located_conditions(spec):
        threshold = condition.above or condition.below
        if unit := _misfit(spec, condition):
            example = "a ratio like 70% or 0.7" if unit == "ratio" else "a duration like 800ms or 1s"
            found.append(f"rule {rule.name} compares {condition.signal} with {threshold}: write {example}")
    return found


def _unknown_of_dependencies(spec: "PolicySpec") -> list[str]:
    return _unknown(spec, (dependency.signal for dependency in spec.dependencies))


def _misfits_of_dependencies(spec: "PolicySpec") -> list[str]:
    return [
        f"dependency {d.name} compares {d.signal}, in {unit}, with {d.above or d.below}"
        for d in spec.dependencies
        if (unit := _misfit(spec, d))
    ]


def _incomparable(spec: "PolicySpec") -> list[str]:
    """Signals that a rule compares with their baseline, and that cannot be compared."""
    known = {name: Signal.model_construct(name=name, preset=name) for name in BUILT_IN_SIGNALS}
    known |= {signal.name: signal for signal in spec.signals}
    compared = {c.signal for _, c in _located_conditions(spec) if c.worse_than is not None}
    return sorted(name for name in compared & known.keys() if not is_comparable(known[name]))


_CEL_COMPARABLE = (
    f"({cel_list(n for n in BUILT_IN_SIGNALS if COMPARABLE_PRESETS.fullmatch(n))}"
    ".filter(name, !has(self.signals) || !self.signals.exists(signal, signal.name == name))"
    " + (has(self.signals) ? self.signals.filter(signal, has(signal.preset)"
    f" ? signal.preset.matches({cel_string(f'^({COMPARABLE_PRESETS.pattern})$')})"
    " : has(signal.unit) && signal.unit == 'ratio' && has(signal.samplesQuery)).map(signal, signal.name) : []))"
)
_CEL_RULE_COMPARABLE = (
    "(!has(rule.when.worseThan) || !has(rule.when.signal) || rule.when.signal in comparable)"
    " && (!has(rule.when.all) || rule.when.all.all(each, !has(each.worseThan) || each.signal in comparable))"
    " && (!has(rule.when.any) || rule.when.any.all(each, !has(each.worseThan) || each.signal in comparable))"
)
_COMPARABLE = (
    "worseThan needs counted requests: use the error rate, a latency, cpu-per-request, or a custom ratio with "
    "samplesQuery"
)


def _conditions(spec: "PolicySpec") -> int:
    return sum(1 for _ in _located_conditions(spec))


def _actions(spec: "PolicySpec") -> int:
    return sum(len(rule.then) for rule in spec.rules)


_CEL_CONDITIONS = (
    "self.rules.map(rule, has(rule.when.all) ? rule.when.all.size()"
    " : has(rule.when.any) ? rule.when.any.size() : 1).sum()"
)


def _repeated(names: Iterator[str]) -> list[str]:
    return [name for name, count in Counter(names).items() if count > 1]


class PolicySpec(SpecModel):
    """Target, signals and rules of the policy."""

    target_ref: TargetRef = Field(
        description=(
            "Target workload, in the policy's namespace, like {apiVersion: apps/v1, kind: Deployment, name: checkout}."
        )
    )
    mode: Mode = Field(
        default=Mode.ENFORCE,
        description=(
            "Enforce (default): act. DryRun: record and report decisions, but change nothing. Suspended: do not "
            "evaluate."
        ),
    )
    interval: Annotated[float, duration_field("2s", "10m")] | None = Field(
        default=None,
        description=(
            "Time between two evaluations, from 5s to 10m; from 2s if no signal has a custom query. Default: 5s. By "
            "default, a custom query is sent every 5s while its source answers within 100ms and the namespace has "
            "query seconds left, otherwise every 15s or 30s; the condition MetricsAvailable says which."
        ),
    )
    replicas: Replicas | None = Field(default=None, description="Bounds of the number of pods, like {min: 3, max: 20}.")
    signals: Annotated[
        tuple[Signal, ...],
        Field(
            max_length=SIGNALS_LIMIT,
            json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
        ),
    ] = Field(
        default=(),
        description=(
            "Custom signals, or other settings for the built-in ones. cpu, latency-p99, error-rate and zone-lost "
            f"need not be declared. At most {SIGNALS_LIMIT}."
        ),
    )
    metric_source: MetricSource = Field(
        default=MetricSource(),
        description=(
            "Source of the measurements. Default: the operator's default Prometheus, with the preset family "
            "http-generic."
        ),
    )
    rules: Annotated[
        tuple[Rule, ...],
        Field(
            max_length=RULES_LIMIT,
            json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
        ),
    ] = Field(
        description=(
            "Rules, like "
            f"{{name: cpu-saturation, when: {{signal: cpu, above: 70%, for: 2m}}, then: [{{scaleUp: {{pods: 2}}}}]}}. "
            f"If several rules request pods, the largest number applies. At most {RULES_LIMIT} rules, with "
            f"{CONDITIONS_IN_ALL} conditions and {ACTIONS_IN_ALL} actions in total."
        )
    )
    dependencies: Annotated[
        tuple[Dependency, ...],
        Field(
            max_length=DEPENDENCIES_LIMIT,
            json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
        ),
    ] = Field(
        default=(),
        description=(
            "What the target calls, like {name: orders-db, signal: orders-db-latency, above: 500ms}. If more pods do "
            "not lower a signal, ScalingDoesNotHelp names the dependencies that are in trouble at that time. At most "
            f"{DEPENDENCIES_LIMIT}."
        ),
    )
    scale_down: ScaleDown = Field(
        default=ScaleDown(),
        description=(
            "How to scale down. Default: to the highest need of the last 5m, in one step, never below replicas.min."
        ),
    )
    release: Release = Field(
        default=Release(),
        description="How to judge releases. Default: a bake of 10m after the last pod is ready.",
    )
    fallback: Fallback = Field(
        default=Fallback(),
        description=(
            "What to do when metrics are unavailable. Default: hold the current replicas. Example: "
            "{after: 3m, replicas: 6}."
        ),
    )

    checks: ClassVar[tuple[Check, ...]] = (
        Check(
            message="rules is empty: add one, like {name: busy, when: {signal: cpu, above: 70%}, then: [{alert: {}}]}",
            holds=lambda spec: len(spec.rules) > 0,
            cel="self.rules.size() > 0",
            field="rules",
        ),
        Check(
            message=(
                f"the rules have more than {CONDITIONS_IN_ALL} conditions in total: split the policy or remove some"
            ),
            holds=lambda spec: _conditions(spec) <= CONDITIONS_IN_ALL,
            cel=f"{_CEL_CONDITIONS} <= {CONDITIONS_IN_ALL}",
            field="rules",
        ),
        Check(
            message=f"the rules have more than {ACTIONS_IN_ALL} actions in total: split the policy or remove some",
            holds=lambda spec: _actions(spec) <= ACTIONS_IN_ALL,
            cel=f"self.rules.map(rule, rule.then.size()).sum() <= {ACTIONS_IN_ALL}",
            field="rules",
        ),
        Check(
            message="two rules have the same name: rename one",
            holds=lambda spec: not _repeated(rule.name for rule in spec.rules),
            detail=lambda spec: f"two rules are named {', '.join(_repeated(r.name for r in spec.rules))}: rename one",
            field="rules",
        ),
        Check(
            message="two signals have the same name: rename one",
            holds=lambda spec: not _repeated(signal.name for signal in spec.signals),
            detail=lambda spec: (
                f"two signals are named {', '.join(_repeated(s.name for s in spec.signals))}: rename one"
            ),
            field="signals",
        ),
        Check(
            message=f"a rule uses an unknown signal: {_DECLARE_SIGNAL}",
            holds=lambda spec: not _unknown_signals(spec),
            cel=_CEL_SIGNALS_KNOWN,
            detail=lambda spec: f"unknown signal {', '.join(_unknown_signals(spec))}: {_DECLARE_SIGNAL}",
            field="rules",
        ),
        Check(
            message="two dependencies have the same name: rename one",
            holds=lambda spec: not _repeated(dependency.name for dependency in spec.dependencies),
            field="dependencies",
        ),
        Check(
            message=f"a dependency uses an unknown signal: {_DECLARE_SIGNAL}",
            holds=lambda spec: not _unknown_of_dependencies(spec),
            cel=f"!has(self.dependencies) || [{_CEL_KNOWN}].all(known, "
            "self.dependencies.all(dependency, dependency.signal in known))",
            detail=lambda spec: f"unknown signal {', '.join(_unknown_of_dependencies(spec))}: {_DECLARE_SIGNAL}",
            field="dependencies",
        ),
        Check(
            message="a dependency's threshold has a different unit than its signal",
            holds=lambda spec: not _misfits_of_dependencies(spec),
            detail=lambda spec: "; ".join(_misfits_of_dependencies(spec)),
            field="dependencies",
        ),
        Check(
            message=f"a signal cannot be compared with its baseline: {_COMPARABLE}",
            holds=lambda spec: not _incomparable(spec),
            cel=f"[{_CEL_COMPARABLE}].all(comparable, self.rules.all(rule, {_CEL_RULE_COMPARABLE}))",
            detail=lambda spec: f"{', '.join(_incomparable(spec))} cannot be compared with its baseline: {_COMPARABLE}",
            field="rules",
        ),
        Check(
            message=(
                f"a signal has a custom query, and interval is below {SHORTEST_OWN_INTERVAL}: set "
                f"{SHORTEST_OWN_INTERVAL} or more, or use only presets"
            ),
            holds=lambda spec: interval_of(spec) >= parse_duration(SHORTEST_OWN_INTERVAL) or not asks_itself(spec),
            cel=f"!has(self.interval) || !has(self.signals) || !self.signals.exists(signal, has(signal.query))"
            f" || duration(self.interval) >= duration('{SHORTEST_OWN_INTERVAL}')",
            field="interval",
        ),
        Check(
            message=f"the queries have more than {QUERIES_MAX_LENGTH} characters together: shorten them, or split the "
            "policy",
            holds=lambda spec: _query_characters(spec) <= QUERIES_MAX_LENGTH,
            cel=f"!has(self.signals) || {_CEL_QUERY_CHARACTERS} <= {QUERIES_MAX_LENGTH}",
            field="signals",
        ),
        Check(
            # CEL cannot read thresholds, and a schema cannot compare two fields: the operator reports this.
            message="a threshold has a different unit than its signal",
            holds=lambda spec: not _misfits(spec),
            detail=lambda spec: "; ".join(_misfits(spec)),
            field="rules",
        ),
        Check(
            message="a rule scales, so spec.replicas.max is required: add it",
            holds=lambda spec: (
                not _used(spec, "scale_up") or (spec.replicas is not None and spec.replicas.max is not None)
            ),
            cel=f"(has(self.replicas) && has(self.replicas.max)) || !{_cel_used('scaleUp')}",
        ),
        Check(
            message="a DaemonSet runs one pod per node and has no replicas: remove scaleUp, or use another kind",
            holds=lambda spec: spec.target_ref.kind != "DaemonSet" or not _used(spec, "scale_up"),
            cel=f"self.targetRef.kind != 'DaemonSet' || !{_cel_used('scaleUp')}",
        ),
        Check(
            message="only the rollout of a Deployment or StatefulSet can be paused: remove pauseRollout",
            holds=lambda spec: (
                spec.target_ref.kind in ("Deployment", "StatefulSet") or not _used(spec, "pause_rollout")
            ),
            cel=f"self.targetRef.kind in ['Deployment', 'StatefulSet'] || !{_cel_used('pauseRollout')}",
        ),
        Check(
            message="only the rollout of a Deployment or StatefulSet can be paused: remove release.freeze",
            holds=lambda spec: spec.target_ref.kind in ("Deployment", "StatefulSet") or not spec.release.freeze,
            cel="self.targetRef.kind in ['Deployment', 'StatefulSet'] || !has(self.release) || "
            "!has(self.release.freeze) || self.release.freeze.size() == 0",
        ),
        Check(
            message=(
                "only a Deployment, StatefulSet or DaemonSet has a pod template that the operator reads: remove "
                "release.configuration"
            ),
            holds=lambda spec: spec.target_ref.kind in WORKLOADS or spec.release.configuration is None,
            cel=f"self.targetRef.kind in {cel_list(WORKLOADS)} || !has(self.release) || "
            "!has(self.release.configuration)",
        ),
        Check(
            message="only a Deployment, StatefulSet or DaemonSet has revisions to restore: remove rollback",
            holds=lambda spec: spec.target_ref.kind in WORKLOADS or not _used(spec, "rollback"),
            cel=f"self.targetRef.kind in {cel_list(WORKLOADS)} || !{_cel_used('rollback')}",
        ),
    )
