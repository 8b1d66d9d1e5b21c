"""A minute of `python -m tests.chaos`, on the shared cluster: all harm but that which would be others' too."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.chaos.crowd import Crowd
from tests.chaos.harm import WIRE, Stage
from tests.chaos.run import run
from tests.cluster import Cluster
from tests.support.names import PROMETHEUS, Names
from tests.support.operator import Operator
from tests.support.proxy import api_proxy, kubeconfig_through, prometheus_proxy
from tests.support.world import World

pytestmark = pytest.mark.long


def test_a_minute_of_harm(
    cluster: Cluster, world: World, new_operator: Callable[..., Operator], operator_identity: Path, tmp_path: Path
) -> None:
    names = Names(tmp_path, PROMETHEUS)
    with api_proxy(cluster, tmp_path) as api, prometheus_proxy(cluster) as prometheus:
        operator = new_operator(
            kubeconfig=kubeconfig_through(api, operator_identity, tmp_path),
            prometheus_url=prometheus.at(PROMETHEUS),
            environment={"RESILIENCE_RELIST_SECONDS": "30", **names.environment},
        ).start()
        crowd = Crowd([world], 8)
        crowd.create()
        stage = Stage(cluster, api, prometheus, operator, names)
        report = run(stage, crowd, WIRE, seconds=60, seed=1, moves_per_second=0.5, patience=240)
        operator.stop()
    print(report.text())
    assert not report.violations
    assert sum(report.harms.values()) > 5
    assert all(report.checks.values())
