"""Nothing that an object contains stops the operator, or costs another policy an evaluation.

A cluster of its own: the objects would be seen by every other test's operator. RESILIENCE_FUZZ_OBJECTS and
RESILIENCE_FUZZ_SEED change the run; `python -m tests.fuzz` is the same at its full size.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.fuzz.run import fuzz, problems
from tests.support.fresh import fresh_cluster
from tests.support.install import install, operator_kubeconfig

pytestmark = pytest.mark.long

OBJECTS = int(os.environ.get("RESILIENCE_FUZZ_OBJECTS") or 300)
SEED = int(os.environ.get("RESILIENCE_FUZZ_SEED") or 1)


def test_hostile_objects_cost_healthy_policies_nothing(tmp_path: Path) -> None:
    with fresh_cluster(tmp_path) as cluster:
        install(cluster)
        kubeconfig = operator_kubeconfig(cluster, tmp_path / "kubeconfig")
        report = fuzz(cluster, kubeconfig, tmp_path / "operator.log", objects=OBJECTS, seed=SEED, say=print)
    kinds = {kind for (verb, kind, what) in report.requests if (verb, what) == ("create", "accepted")}
    assert len(kinds) == 8, f"of some kinds nothing was accepted: {sorted(kinds)}"
    assert problems(report) == []
