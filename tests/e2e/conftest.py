"""The cluster that the e2e tests share, and what each test gets for itself.

Every test has a namespace and, where it asks for one, an operator process that looks at that namespace alone, under
the ServiceAccount and the roles of `manifests/`. So tests run side by side without knowing of each other.
RESILIENCE_TEST_STATE names the state folder of a cluster that already runs; it is then left running.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.cluster import Cluster, Options, down, up
from tests.cluster.cluster import is_free
from tests.cluster.loadmodel.client import LoadModel
from tests.support import audit
from tests.support.install import ROOT, grant_lease, install, operator_kubeconfig
from tests.support.operator import Operator
from tests.support.proxy import Proxy, api_proxy, kubeconfig_through
from tests.support.waiting import eventually
from tests.support.world import World

STATE = Path(os.environ.get("RESILIENCE_TEST_STATE") or ROOT / ".local" / "test")
PORTS = range(25600, 26600, 20)
"""Where the cluster's ports may begin: below the range from which Linux takes ports for outgoing connections."""

HERE = Path(__file__).parent
_started = pytest.StashKey[bool]()
_audited_from = pytest.StashKey[int]()


def pytest_sessionstart(session: pytest.Session) -> None:
    """The first process brings the cluster up; the workers of a parallel run find it there."""
    if hasattr(session.config, "workerinput") or session.config.option.collectonly:
        return
    say = session.config.get_terminal_writer().line
    existed = (STATE / "cluster.json").exists()
    kubeconfig = None if existed else STATE.parent / f"{STATE.name}.kubeconfig"
    cluster = up(Options(state=STATE, ports=None if existed else _free_base(), kubeconfig=kubeconfig), say=say)
    install(cluster)
    session.config.stash[_started] = not existed
    session.config.stash[_audited_from] = cluster.audit_log.stat().st_size if cluster.audit_log.exists() else 0


def _free_base() -> int:
    """The first base from which on all ports are free, so that checkouts may test side by side."""
    return next(base for base in PORTS if all(is_free(base + offset) for offset in range(10)))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The long ones first, those without a cluster last."""
    items.sort(key=lambda item: (item.get_closest_marker("long") is None, HERE not in item.path.parents))


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """The audit of rights comes last. Then whoever brought the cluster up takes it down."""
    say = session.config.get_terminal_writer().line
    try:
        if _audited_from in session.config.stash and exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
            _audit(session, complete=exitstatus == pytest.ExitCode.OK and _all_selected(session.config), say=say)
    finally:
        if session.config.stash.get(_started, False):
            down(STATE, say=say)


def _audit(session: pytest.Session, *, complete: bool, say: Callable[[str], None]) -> None:
    """Fail the session for what the operator's account was refused and, where complete, for rights it never used.

    In a cluster that was there before, others may be at work with unfinished rights: there it is only told.
    """
    if not Cluster.load(STATE).audit_log.exists():
        return
    found = audit.check(Cluster.load(STATE), offset=session.config.stash[_audited_from], complete=complete)
    say("")
    for violation in found:
        say(f"audit of rights: {violation}")
    if found and session.config.stash[_started]:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
    if not found:
        say(f"audit of rights: nothing was refused{', and every right was used' if complete else ''}")


def _all_selected(config: pytest.Config) -> bool:
    """Whether these tests were run without leaving any out."""
    chosen = ("keyword", "markexpr", "deselect", "lf", "stepwise", "ignore", "ignore_glob")
    if any(getattr(config.option, name, None) for name in chosen):
        return False
    paths = [(config.invocation_params.dir / argument.partition("::")[0]).resolve() for argument in config.args]
    return any(path == HERE or path in HERE.parents for path in paths)


@pytest.fixture(scope="session")
def cluster() -> Cluster:
    """The real control plane, with the CRD and the operator's roles installed."""
    return Cluster.load(STATE)


@pytest.fixture(scope="session")
def operator_identity(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A kubeconfig of the operator's own ServiceAccount."""
    return operator_kubeconfig(cluster, tmp_path_factory.mktemp("identity") / "kubeconfig")


@pytest.fixture
def world(cluster: Cluster) -> Iterator[World]:
    """A fresh namespace."""
    found = World(cluster, f"t-{uuid.uuid4().hex[:8]}").create()
    yield found
    found.remove()


@pytest.fixture
def namespace(world: World) -> str:
    """The name of a fresh namespace."""
    return world.namespace


@pytest.fixture
def loadmodel(world: World) -> LoadModel:
    """The load model's control."""
    return world.load


@pytest.fixture
def new_operator(world: World, operator_identity: Path, tmp_path: Path) -> Iterator[Callable[..., Operator]]:
    """Makes operator processes for this test's namespace; all are stopped at its end."""
    made: list[Operator] = []

    def make(
        *arguments: str,
        prometheus_url: str = "",
        kubeconfig: Path | None = None,
        environment: dict[str, str] | None = None,
    ) -> Operator:
        operator = Operator(
            kubeconfig or operator_identity,
            prometheus_url or world.cluster.prometheus_url,
            tmp_path / f"operator-{len(made)}.log",
            ("--namespace", world.namespace, *arguments),
            environment,
        )
        made.append(operator)
        return operator

    yield make
    for operator in made:
        if operator.process is not None and operator.process.poll() is None:
            operator.stop()
        # In a failed test's report.
        print(f"--- {operator.log.name}\n{operator.tail(80)}")


@pytest.fixture
def operator(new_operator: Callable[..., Operator]) -> Operator:
    """A running operator for this test's namespace."""
    return new_operator().start()


@pytest.fixture
def proxy(cluster: Cluster, tmp_path: Path) -> Iterator[Proxy]:
    """A proxy in front of the API server."""
    with api_proxy(cluster, tmp_path) as found:
        yield found


@pytest.fixture
def proxied(new_operator: Callable[..., Operator], proxy: Proxy, operator_identity: Path, tmp_path: Path) -> Operator:
    """A running operator that reaches the API server through the proxy alone."""
    kubeconfig = kubeconfig_through(proxy, operator_identity, tmp_path)
    return new_operator(kubeconfig=kubeconfig, environment={"RESILIENCE_REFRESH_SECONDS": "0"}).start()


@pytest.fixture
def replicas(
    world: World, new_operator: Callable[..., Operator], proxy: Proxy, operator_identity: Path, tmp_path: Path
) -> tuple[Operator, Operator]:
    """A leader and a standby, which reach the API server through the proxy alone."""
    grant_lease(world.cluster, world.namespace)
    kubeconfig = kubeconfig_through(proxy, operator_identity, tmp_path)
    environment = {
        "RESILIENCE_LEASE_NAMESPACE": world.namespace,
        "RESILIENCE_LEASE_SECONDS": "20",  # the leader keeps it, however busy the machine, until it is frozen
        "RESILIENCE_REFRESH_SECONDS": "0",
    }
    leader, standby = (
        new_operator("--leader-election", kubeconfig=kubeconfig, environment=environment) for _ in range(2)
    )
    leader.start()
    eventually(lambda: leader.leads, "the first leads")
    return leader, standby.start()
