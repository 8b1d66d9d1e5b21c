"""The cluster launcher's decisions: what is built anew, what listens where, whose process is stopped, who gets in."""

from __future__ import annotations

import base64
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.cluster import build, components, kind, processes, toolchain
from tests.cluster.components import SERVICE_RANGE
from tests.cluster.configs import prometheus_config
from tests.cluster.failure import ClusterError, ComponentError, tail
from tests.cluster.kubeconfig import kubeconfig_text, write_kubeconfig
from tests.cluster.objects import node
from tests.cluster.pki import SERVICE_IP
from tests.cluster.processes import Process, Records
from tests.cluster.settings import DEFAULT_KUBECONFIG, DEFAULT_STATE, Options, Ports, Settings, resolve

ELSEWHERE = Path("/elsewhere/state")


class TestStamp:
    @pytest.mark.parametrize(
        ("contents", "flags"),
        [
            ([b"module a\n\nrequire b v1.0.1", b"sum"], ["-trimpath"]),  # a bumped version
            ([b"module a\n\nrequire b v1.0.0", b"other"], ["-trimpath"]),
            ([b"module a\n\nrequire b v1.0.0", b"sum"], ["-trimpath", "-race"]),
            ([b"module a\n\nrequire b v1.0.0sum", b""], ["-trimpath"]),  # the same bytes, cut elsewhere
            ([b"module a\n\nrequire b v1.0.0", b"sum", b"main"], ["-trimpath"]),
        ],
    )
    def test_changes_with_anything_it_is_made_of(self, contents: list[bytes], flags: list[str]) -> None:
        assert build.stamp(contents, flags) != build.stamp([b"module a\n\nrequire b v1.0.0", b"sum"], ["-trimpath"])

    def test_is_the_same_for_the_same(self) -> None:
        assert build.stamp([b"a", b"b"], ["c"]) == build.stamp([b"a", b"b"], ["c"])

    def test_every_source_has_a_binary_of_its_own_and_names_no_path_of_the_machine(self) -> None:
        assert len({source.binary() for source in build.SOURCES.values()}) == len(build.SOURCES)
        for source in build.SOURCES.values():
            assert str(build.MODULES) not in " ".join(source.flags())


@pytest.mark.parametrize(
    ("go_mod", "version"),
    [
        ("module a\nrequire k8s.io/kubernetes v1.37.2\n", "v1.37.2"),
        ("module a\nrequire (\n\tk8s.io/kubernetes v1.2.3 // indirect\n)\n", "v1.2.3"),
        ("module a\nrequire (\n\tx.k8s.io/kubernetes v9.9.9\n\tk8s.io/kubernetes v1.0.0\n)\n", "v1.0.0"),
    ],
)
def test_the_version_is_the_one_go_mod_requires(go_mod: str, version: str) -> None:
    assert build.required_version(go_mod, "k8s.io/kubernetes") == version


def test_the_version_must_be_required() -> None:
    with pytest.raises(ClusterError, match=r"k8s\.io/kubernetes"):
        build.required_version("module a\n", "k8s.io/kubernetes")


def test_the_binaries_tell_the_versions_they_were_built_from() -> None:
    flags = {name: " ".join(source.flags()) for name, source in build.SOURCES.items()}
    assert "component-base/version.gitVersion=v1." in flags["controlplane"]
    assert "component-base/version.gitMajor=1" in flags["controlplane"]
    assert "common/version.Version=3." in flags["prometheus"]


@pytest.mark.parametrize(
    ("older", "newer"), [("go1.9.7", "go1.26.8"), ("1.26", "1.26.1"), ("go1.26.8", "go1.27rc1"), ("", "1.0")]
)
def test_go_versions_compare_as_numbers(older: str, newer: str) -> None:
    assert toolchain.parse_version(older) < toolchain.parse_version(newer)


@pytest.mark.parametrize(("seconds", "text"), [(0.4, "0s"), (59.9, "59s"), (60, "1m 00s"), (281, "4m 41s")])
def test_durations_read_as_people_write_them(seconds: float, text: str) -> None:
    assert build.clock(seconds) == text


class TestPorts:
    def test_from_a_base_they_stand_in_a_row_without_gaps(self) -> None:
        row = Ports.from_base(20000)
        assert sorted(vars(row).values()) == list(range(20000, 20000 + len(vars(row))))

    @pytest.mark.parametrize("base", [0, 80, 65530, 70000])
    def test_a_base_must_leave_room_for_all(self, base: int) -> None:
        with pytest.raises(ClusterError, match="base port"):
            Ports.from_base(base)

    def test_two_listeners_cannot_share_one(self) -> None:
        with pytest.raises(ClusterError, match="9090"):
            resolve(Options(apiserver_port=9090), None)


class TestResolve:
    def test_nothing_asked_is_the_default_cluster(self) -> None:
        settings = resolve(Options(), None)
        assert (settings.state, settings.kubeconfig, settings.ports) == (DEFAULT_STATE, DEFAULT_KUBECONFIG, Ports())
        assert (settings.server, settings.prometheus_url) == ("https://127.0.0.1:6443", "http://127.0.0.1:9090")

    def test_another_state_does_not_overwrite_the_default_kubeconfig(self) -> None:
        assert resolve(Options(state=ELSEWHERE), None).kubeconfig == ELSEWHERE / "kubeconfig"

    def test_what_was_kept_stands_unless_something_else_is_asked(self) -> None:
        kept = resolve(Options(state=ELSEWHERE, ports=20000, nodes=3, load_model=False), None)
        assert resolve(Options(state=ELSEWHERE), kept) == kept
        assert resolve(Options(state=ELSEWHERE, nodes=9), kept).nodes == 9
        assert resolve(Options(state=ELSEWHERE, nodes=9), kept).ports == kept.ports

    def test_the_load_model_moves_with_the_row(self) -> None:
        settings = resolve(Options(state=ELSEWHERE, ports=20000), None)
        assert settings.prometheus_scrape == f"127.0.0.1:{settings.ports.load_model}"

    def test_the_load_model_listens_where_it_is_scraped(self) -> None:
        settings = resolve(Options(prometheus_scrape="127.0.0.1:9999"), None)
        assert settings.ports.load_model == 9999

    @pytest.mark.parametrize(
        "address", ["0.0.0.0:9105", "192.0.2.1:9105", "example.com:9105", "127.0.0.1", ":9105", ""]
    )
    def test_nothing_listens_beyond_loopback(self, address: str) -> None:
        with pytest.raises(ClusterError, match=r"127\.0\.0\.1:PORT"):
            resolve(Options(prometheus_scrape=address), None)

    @pytest.mark.parametrize("nodes", [0, -1, 251])
    def test_there_are_as_many_nodes_as_address_ranges(self, nodes: int) -> None:
        with pytest.raises(ClusterError, match="nodes"):
            resolve(Options(nodes=nodes), None)

    def test_settings_come_back_from_json_as_they_were(self) -> None:
        settings = resolve(Options(state=ELSEWHERE, ports=20000, nodes=3), None)
        assert Settings.from_json(settings.to_json()) == settings


class TestComponents:
    BINARIES = {name: Path("/bin") / name for name in build.CLUSTER}  # noqa: RUF012 - never changed

    def test_all_listen_on_loopback_and_verify_who_they_talk_to(self) -> None:
        settings = resolve(Options(state=ELSEWHERE, ports=20000), None)
        for component in components.components(settings, self.BINARIES).values():
            arguments = " ".join(component.argv)
            assert "0.0.0.0" not in arguments
            assert "insecure" not in arguments
            assert component.ready_url.split("://")[1].startswith("127.0.0.1:200")

    def test_two_clusters_share_no_port_and_no_file(self) -> None:
        one = components.components(resolve(Options(), None), self.BINARIES)
        other = components.components(resolve(Options(state=ELSEWHERE, ports=20000), None), self.BINARIES)
        own = (str(DEFAULT_STATE), *(f":{port}" for port in vars(Ports()).values()))
        for name in one:
            assert not any(mark in argument for argument in other[name].arguments for mark in own)

    def test_kind_brings_its_own_control_plane(self) -> None:
        settings = resolve(Options(state=ELSEWHERE, provider="kind", load_model=False), None)
        assert list(components.components(settings, self.BINARIES)) == [components.KWOK, components.PROMETHEUS]

    def test_prometheus_keeps_the_load_models_labels(self) -> None:
        job = prometheus_config(resolve(Options(), None))["scrape_configs"][0]
        assert job["honor_labels"] is True
        assert job["static_configs"] == [{"targets": ["127.0.0.1:9105"]}]

    def test_the_servers_certificate_names_the_first_service_address(self) -> None:
        assert SERVICE_RANGE.removesuffix(".0.0/16") + ".0.1" == SERVICE_IP


class TestNodes:
    def test_the_zones_take_turns(self) -> None:
        zones = [node(index)["metadata"]["labels"]["topology.kubernetes.io/zone"] for index in range(6)]
        assert zones == ["a", "b", "c", "a", "b", "c"]

    def test_no_two_share_addresses(self) -> None:
        assert len({node(index)["spec"]["podCIDR"] for index in range(250)}) == 250


class TestKubeconfig:
    def test_a_token_goes_in_with_the_authority_that_vouches_for_the_server(self) -> None:
        config = yaml.safe_load(kubeconfig_text("https://127.0.0.1:6443", b"PEM", token="t0k3n", namespace="shop"))
        cluster, user, context = config["clusters"][0], config["users"][0], config["contexts"][0]
        assert cluster["cluster"] == {
            "server": "https://127.0.0.1:6443",
            "certificate-authority-data": base64.b64encode(b"PEM").decode(),
        }
        assert user["user"] == {"token": "t0k3n"}
        assert context["context"] == {"cluster": cluster["name"], "user": user["name"], "namespace": "shop"}
        assert config["current-context"] == context["name"]

    def test_a_certificate_goes_in_whole(self) -> None:
        config = yaml.safe_load(kubeconfig_text("https://h", b"CA", client_cert=b"C", client_key=b"K"))
        assert config["users"][0]["user"] == {
            "client-certificate-data": base64.b64encode(b"C").decode(),
            "client-key-data": base64.b64encode(b"K").decode(),
        }

    @pytest.mark.parametrize(
        "identity",
        [{}, {"token": "t", "client_cert": b"C", "client_key": b"K"}, {"client_cert": b"C"}, {"client_key": b"K"}],
    )
    def test_one_identity_is_asked_for(self, identity: dict[str, str | bytes]) -> None:
        with pytest.raises(ValueError, match="either"):
            kubeconfig_text("https://h", b"CA", **identity)  # type: ignore[arg-type]

    def test_only_its_owner_can_read_it(self, tmp_path: Path) -> None:
        ca = tmp_path / "ca.crt"
        ca.write_bytes(b"PEM")
        path = tmp_path / "made" / "kubeconfig"
        for token in ("first", "second"):
            write_kubeconfig(path, "https://h", ca, token=token)
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
            assert yaml.safe_load(path.read_text())["users"][0]["user"] == {"token": token}
        assert list(path.parent.iterdir()) == [path]


def stat_line(command: str = "etcd", state: str = "S", started: int = 4242) -> str:
    return f"17 ({command}) {state} " + " ".join(["0"] * 18) + f" {started} 99 0"


class TestProcesses:
    @pytest.mark.parametrize("command", ["etcd", "a b", "a) S 1 (b", ") Z ("])
    def test_the_start_time_is_found_behind_any_name(self, command: str) -> None:
        assert processes.started_ticks(stat_line(command)) == 4242

    @pytest.mark.parametrize("state", ["Z", "X", "x"])
    def test_what_has_ended_has_none(self, state: str) -> None:
        assert processes.started_ticks(stat_line(state=state)) is None

    def test_a_process_is_known_again(self) -> None:
        mark = processes.mark_of(os.getpid())
        assert mark is not None
        assert Process(os.getpid(), mark).alive()

    def test_a_recycled_pid_is_neither_running_nor_stopped(self, tmp_path: Path) -> None:
        bystander = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
        try:
            mistaken = Process(bystander.pid, f"{processes.mark_of(bystander.pid)}0")
            records = Records(tmp_path)
            records.write("etcd", mistaken)
            assert records.running("etcd") is None
            processes.stop([mistaken], grace=0.0)
            assert bystander.poll() is None
        finally:
            bystander.communicate(b"\n", timeout=10)

    @pytest.mark.parametrize(("handler", "grace"), [("SIG_DFL", 10.0), ("SIG_IGN", 0.1)])
    def test_what_was_started_is_gone_afterwards(self, tmp_path: Path, handler: str, grace: float) -> None:
        program = f"import signal, time; signal.signal(signal.SIGTERM, signal.{handler}); time.sleep(60)"
        started = processes.spawn(
            [sys.executable, "-c", program],
            executable=Path(sys.executable),
            log=tmp_path / "log",
            cwd=tmp_path,
            env={},
        )
        assert started.alive()
        processes.stop([started], grace)
        assert not started.alive()
        assert not Path(f"/proc/{started.pid}").exists()

    def test_a_damaged_record_is_no_process(self, tmp_path: Path) -> None:
        (tmp_path / "etcd.pid").write_text("{")
        assert Records(tmp_path).running("etcd") is None


class TestFailure:
    def test_the_end_of_the_log_is_shown(self, tmp_path: Path) -> None:
        log = tmp_path / "etcd.log"
        log.write_text("".join(f"line {n}\n" for n in range(100)))
        message = str(ComponentError("etcd", "ended while starting", log, lines=2))
        assert message.startswith("etcd ended while starting")
        assert message.endswith("    line 98\n    line 99")

    def test_a_missing_log_is_no_second_failure(self, tmp_path: Path) -> None:
        assert tail(tmp_path / "none.log", 5) == "    (no log)"


class TestKind:
    def test_its_node_keeps_the_workloads_off(self) -> None:
        settings = resolve(Options(state=ELSEWHERE, provider="kind", apiserver_port=7443), None)
        config = yaml.safe_load(kind.config(settings))
        assert config["networking"] == {"apiServerAddress": "127.0.0.1", "apiServerPort": 7443}
        patch = yaml.safe_load(config["nodes"][0]["kubeadmConfigPatches"][0])
        assert patch["nodeRegistration"]["taints"] == [kind.CONTROL_PLANE_TAINT]

    def test_each_state_has_a_cluster_of_its_own(self) -> None:
        assert kind.name_of(ELSEWHERE) != kind.name_of(DEFAULT_STATE)

    def test_an_engine_that_is_missing_is_named(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PATH", str(tmp_path))
        with pytest.raises(ClusterError, match="docker, which"):
            kind.require()

    def test_its_node_runs_pods_where_no_others_do(self) -> None:
        settings = resolve(Options(state=ELSEWHERE, provider="kind", node="real"), None)
        (node,) = yaml.safe_load(kind.config(settings))["nodes"]
        assert not [patch for patch in node["kubeadmConfigPatches"] if "taints" in patch]

    def test_its_image_is_the_one_that_was_asked_for(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("KIND_IMAGE", raising=False)
        assert kind.image(print) == ""
        monkeypatch.setenv("KIND_IMAGE", "kindest/node:v1.37.2")
        assert kind.image(print) == "kindest/node:v1.37.2"

    def test_an_engine_that_does_not_answer_is_named(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        for tool in ("docker", "kind"):
            (tmp_path / tool).write_text("#!/bin/sh\necho 'no daemon here' >&2; exit 1\n")
            (tmp_path / tool).chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path))
        with pytest.raises(ClusterError, match="no daemon here"):
            kind.require()
