"""The policies that are compared: the two samples, as files, with the bounds of the model."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import yaml

from resilience_operator.api.v1alpha1 import parse_policy
from resilience_operator.decision.model.compile import compile_policy
from resilience_operator.decision.model.policy import Policy
from tests.bench.autoscaling.service import MAX_PODS, MIN_PODS

SAMPLES = Path(__file__).parents[3] / "manifests" / "samples"


def sample(name: str) -> Policy:
    """Return the policy of a sample file."""
    document = yaml.safe_load((SAMPLES / f"{name}.yaml").read_text("utf-8"))
    spec = parse_policy(document).spec
    compiled = compile_policy(spec, uid="uid", namespace="shop", name=name, generation=1)
    return replace(compiled, min_replicas=MIN_PODS, max_replicas=MAX_PODS)
