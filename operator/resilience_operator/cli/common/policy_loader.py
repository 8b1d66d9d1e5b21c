"""Prepares a policy for a replay or simulation with the operator's code: parses, compiles, restores its memory."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from resilience_operator.decision.model.policy import Policy
from resilience_operator.runtime.cache.policies import PolicyCache
from resilience_operator.runtime.cache.policy_entry import PolicyEntry


def load_policy(body: Mapping[str, Any]) -> tuple[PolicyEntry, Policy]:
    """Load the policy in `body`, from the API or from a file, which lacks the fields that the API server sets.

    Raises InvalidPolicy.
    """
    metadata = {"name": "policy", "namespace": "default", "uid": "file", "resourceVersion": "0"}
    metadata.update(body.get("metadata") or {})
    entry, _ = PolicyCache().upsert({**body, "metadata": metadata})
    if entry.policy is None:
        assert entry.compiled.problem is not None, "a policy is there, or what is wrong with it"
        raise entry.compiled.problem
    return entry, entry.policy
