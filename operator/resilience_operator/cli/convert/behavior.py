"""Converts `behavior` of an HPA: scaling rates and stabilization, with the defaults of autoscaling/v2."""

from __future__ import annotations

from resilience_operator.cli.convert.builder import Json, PolicyBuilder
from resilience_operator.cli.convert.reader import TrackingReader

STABILIZATION = 300
"""Default of scaleDown.stabilizationWindowSeconds."""


def convert_behavior(behavior: TrackingReader, draft: PolicyBuilder) -> Json:
    """Return spec.scaleDown, and set how the draft's rules scale up."""
    up, down = behavior.inside("scaleUp"), behavior.inside("scaleDown")
    draft.hold = int(up.take("stabilizationWindowSeconds", 0))
    for side in (up, down):
        side.drop("tolerance", "not supported: a rule acts as soon as its threshold is crossed")
    policies = [_policy(one) for one in up.each("policies")]
    if up.take("selectPolicy") == "Disabled":
        draft.scales = False
        up.add_note("scaling up is disabled, so the rules only alert", "selectPolicy")
    elif policies:
        draft.cooldown = min(seconds for _, _, seconds in policies)
        limits = ", ".join(f"{value} {kind.lower()} in {seconds}s" for kind, value, seconds in policies)
        up.add_note(
            f"toTarget does not limit a step ({limits} here) except by replicas.max, and is repeated after "
            f"{draft.cooldown}s. For small steps use scaleUp: {{pods: N}} or {{percent: N}}",
            "policies",
        )
    return _scale_down(down)


def _scale_down(down: TrackingReader) -> Json:
    after = int(down.take("stabilizationWindowSeconds", STABILIZATION))
    policies = [_policy(one) for one in down.each("policies")]
    select = str(down.take("selectPolicy", "Max"))
    if select == "Disabled":
        return {"enabled": False}
    kind, value, seconds = policies[0] if policies else ("Percent", 100, 15)
    found: Json = {
        "after": f"{max(after, 1)}s",
        "pods" if kind == "Pods" else "percent": min(value, 100) if kind == "Percent" else value,
    }
    if len(policies) > 1:
        down.add_note(f"only the first of several policies ({select}) is converted", "policies")
    if policies and seconds != after:
        down.add_note(
            f"scales down by {value} {kind.lower()} after every {max(after, 1)}s in which the signals are stable; "
            f"the HPA does so every {seconds}s after a stabilization window of {after}s",
            "policies",
        )
    return found


def _policy(policy: TrackingReader) -> tuple[str, int, int]:
    return str(policy.take("type", "")), int(policy.take("value", 1)), int(policy.take("periodSeconds", 15))
