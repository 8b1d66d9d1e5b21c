"""Compiles a policy spec into the policy that the decision uses."""

from __future__ import annotations

import re
from collections.abc import Mapping
from math import inf

from resilience_operator.api.dependencies import Dependency as DependencySpec
from resilience_operator.api.orders import read_orders
from resilience_operator.api.quantities import Unit
from resilience_operator.api.rules import DEFAULT_WORSE_BY, Action
from resilience_operator.api.rules import Condition as ConditionSpec
from resilience_operator.api.rules import Rollback as RollbackSpec
from resilience_operator.api.rules import Rule as RuleSpec
from resilience_operator.api.rules import ScaleUp as ScaleUpSpec
from resilience_operator.api.signals import BUILT_IN_SIGNALS, ZONE_LOST, look_back, unit_of_preset
from resilience_operator.api.signals import Signal as SignalSpec
from resilience_operator.api.spec import Mode, PolicySpec, interval_of
from resilience_operator.decision.model.policy import (
    Approval,
    Condition,
    Dependency,
    Fallback,
    FreezeWindow,
    IncludedConfiguration,
    Plugin,
    Policy,
    Release,
    Rollback,
    Rule,
    ScaleDown,
    ScaleUp,
    Signal,
)

SCRAPE_INTERVAL = 15.0
"""Seconds. The usual scrape interval of Prometheus."""

DEFAULT_MIN_SAMPLES = {"error-rate": 20, "latency-p99": 100}
"""Minimum requests within the window for a preset to be conclusive. Below 100 requests the 99th percentile is just the
slowest one; below 20 a single failure is 5%."""

QUANTILE_PRESET = re.compile(r"latency(-p([0-9]{2,4}))?")
"""Presets that are a quantile of latencies: `latency-p95` is the 0.95 quantile, and `latency` the 0.99 quantile."""


def min_samples_of(preset: str) -> int:
    """The default minimum of requests for a preset. A high percentile needs one request beyond it."""
    known = DEFAULT_MIN_SAMPLES.get(preset)
    if known is not None:
        return known
    match = re.fullmatch(r"latency-p([0-9]+)", preset)
    return round(1 / (1 - float(f"0.{match[1]}"))) if match and match[1].strip("0") else 0


def compile_policy(
    spec: PolicySpec,
    *,
    uid: str,
    namespace: str,
    name: str,
    generation: int,
    dry_run: bool = False,
    annotations: Mapping[str, object] | None = None,
) -> Policy:
    """Return the policy in base units. dry_run: the whole operator is in dry-run mode."""
    signals = {s.name: s for s in signals_of(spec)}
    rules = tuple(_rule(rule) for rule in spec.rules)
    dependencies = tuple(map(_dependency, spec.dependencies))
    read = {c.signal for rule in rules for c in rule.conditions} | {d.condition.signal for d in dependencies}
    mode = spec.mode
    if dry_run and mode is Mode.ENFORCE:
        mode = Mode.DRY_RUN
    down, fallback = spec.scale_down, spec.fallback
    return Policy(
        uid=uid,
        namespace=namespace,
        name=name,
        generation=generation,
        rules=rules,
        signals={n: _signal(signals[n]) for n in sorted(read)},
        mode=mode,
        interval=interval_of(spec),
        min_replicas=spec.replicas.min if spec.replicas else None,
        max_replicas=spec.replicas.max if spec.replicas else None,
        scale_down=ScaleDown(
            enabled=down.enabled,
            after=down.after,
            pods=down.pods,
            percent=down.percent,
        ),
        release=Release(
            bake=spec.release.bake.at_most,
            until_proven=spec.release.bake.until_proven,
            act_on_pods=spec.release.pod_failures == "Act",
            progress_deadline=spec.release.progress_deadline,
            fail_on_progress_deadline=spec.release.fail_on_progress_deadline,
            resume=spec.release.resume,
            false_alarms=spec.release.false_alarms,
            warm_up=spec.release.warm_up,
            quarantine=spec.release.quarantine,
            configuration=None
            if spec.release.configuration is None
            else IncludedConfiguration(spec.release.configuration.secrets),
            notify_delivery=spec.release.git_ops != "Ignore",
            hold_delivery=spec.release.git_ops == "Hold",
            freezes=tuple(FreezeWindow(f.cron, f.time_zone, f.for_) for f in spec.release.freeze),
        ),
        fallback=Fallback(after=fallback.after, replicas=fallback.replicas),
        orders=read_orders(annotations),
        dependencies=dependencies,
    )


def signals_of(spec: PolicySpec) -> tuple[SignalSpec, ...]:
    """Return the declared signals, and the built-in ones that are not redeclared."""
    declared = {s.name for s in spec.signals}
    built_in = (
        SignalSpec.model_construct(name=name, preset=name, unit=unit)
        for name, unit in BUILT_IN_SIGNALS.items()
        if name not in declared
    )
    return (*spec.signals, *built_in)


def _rule(rule: RuleSpec) -> Rule:
    actions: tuple[Action, ...] = rule.then
    scale = next((a.scale_up for a in actions if a.scale_up is not None), None)
    rollback = next((a.rollback for a in actions if a.rollback is not None), None)
    return Rule(
        name=rule.name,
        conditions=tuple(map(_condition, rule.when.conditions)),
        any_of=rule.when.any is not None,
        scale_up=None
        if scale is None
        else ScaleUp(scale.pods, scale.percent, bool(scale.to_target), _cooldown(rule, scale)),
        alert=any(a.alert is not None for a in actions),
        pause=any(a.pause_rollout is not None for a in actions),
        rollback=None if rollback is None else _rollback(rollback),
        plugins=tuple(Plugin(a.plugin.name, a.plugin.with_) for a in actions if a.plugin is not None),
    )


def _rollback(spec: RollbackSpec) -> Rollback:
    approval = None if spec.approval is None else Approval(spec.approval.within, spec.approval.otherwise == "Act")
    return Rollback(spec.after, spec.limit, spec.max_revisions, approval)


def _cooldown(rule: RuleSpec, scale: ScaleUpSpec) -> float:
    """Return the cooldown. By default a rule that scales ahead only waits for the next scrape: its need is a total, and
    pods on their way count in it.
    """
    ahead = scale.to_target and not any(c.for_ for c in rule.when.conditions)
    return SCRAPE_INTERVAL if ahead and "cooldown" not in scale.model_fields_set else scale.cooldown


def _condition(condition: ConditionSpec) -> Condition:
    if condition.worse_than is not None:
        by = DEFAULT_WORSE_BY if condition.by is None else condition.by
        return Condition(condition.signal, inf, True, condition.for_, by)
    threshold = condition.above if condition.above is not None else condition.below
    assert threshold is not None, "checked when the policy was parsed"
    return Condition(condition.signal, threshold.value, condition.above is not None, condition.for_)


def _dependency(dependency: DependencySpec) -> Dependency:
    threshold = dependency.above or dependency.below
    assert threshold is not None, "checked when the policy was parsed"
    return Dependency(dependency.name, Condition(dependency.signal, threshold.value, dependency.above is not None))


def _unit(signal: SignalSpec) -> Unit:
    if signal.unit is not None:
        return signal.unit
    return unit_of_preset(signal.preset or "")


def _signal(signal: SignalSpec) -> Signal:
    if signal.preset == ZONE_LOST:
        # The API server returns the current state: there is no look-back window.
        return Signal(signal.name, 0.0, unit=_unit(signal).value, metered=False)
    least = signal.min_samples
    if least is None:
        least = min_samples_of(signal.preset or "")
    window = look_back(signal)
    written = signal.window if window != signal.window else None
    digits = QUANTILE_PRESET.fullmatch(signal.preset or "")
    return Signal(
        signal.name,
        window,
        float(least),
        _unit(signal).value,
        written=written,
        total=signal.of == "total",
        quantile=float(f"0.{digits[2] or 99}") if digits else None,
        leaves_out_young=signal.preset == "cpu",
        counts_requests=digits is not None or signal.preset == "error-rate",
    )
