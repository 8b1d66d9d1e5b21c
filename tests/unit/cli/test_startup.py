"""How both programs start: what they load, and which errors they print."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from resilience_operator.cli.common.app import failure_of, plain_os_error
from resilience_operator.cli.common.errors import UsageError
from resilience_operator.resilience.errors import TryAgain
from tests.support.install import ROOT

HEAVY = (
    "kubernetes",
    "aiohttp",
    "yaml",
    "promql_parser",
    "rich",
    "kopf",
    "requests",
    "prometheus_api_client",
    "apprise",
)
"""What takes most of the time of a start."""

Run = subprocess.CompletedProcess[str]


def call(module: str, *arguments: str, **variables: str) -> Run:
    return subprocess.run(
        [sys.executable, "-X", "importtime", "-m", f"resilience_operator.cli.{module}", *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT / "operator"), **variables},
    )


def loaded(run: Run) -> set[str]:
    lines = [line for line in run.stderr.splitlines() if line.startswith("import time:")]
    return {line.rpartition("|")[2].strip().partition(".")[0] for line in lines}


def said(run: Run) -> str:
    return "\n".join(line for line in run.stderr.splitlines() if not line.startswith("import time:"))


@pytest.mark.parametrize(
    ("arguments", "unneeded"),
    [
        (["version"], ("pydantic", "asyncio")),
        (["--version"], ("pydantic", "asyncio")),
        (["lint", "manifests/samples/checkout.yaml"], ("requests", "aiohttp", "kubernetes", "tenacity")),
    ],
    ids=str,
)
def test_a_command_loads_only_what_it_works_with(arguments: list[str], unneeded: tuple[str, ...]) -> None:
    run = call("kubectl", *arguments)

    assert run.returncode == 0, said(run)
    assert loaded(run).isdisjoint(unneeded)


@pytest.mark.parametrize(
    ("module", "arguments", "most"),
    [
        ("kubectl", ["version"], 190),
        ("completion", ["lint", "-"], 210),
        ("kubectl", ["lint", "manifests/samples/checkout.yaml"], 380),
    ],
    ids=str,
)
def test_the_modules_of_a_start_are_few(module: str, arguments: list[str], most: int) -> None:
    """The time of a start is that of its modules, and their number does not depend on the machine's load."""
    lines = [line for line in call(module, *arguments).stderr.splitlines() if line.startswith("import time:")]
    assert 0 < len(lines) - 1 <= most, f"{len(lines) - 1} modules"


@pytest.mark.parametrize(
    ("module", "arguments"),
    [
        ("kubectl", ["version"]),
        ("kubectl", ["--version"]),
        ("kubectl", ["lint", "--help"]),
        ("kubectl", ["status", "--help"]),
        ("operator", ["version"]),
        ("operator", ["run", "--help"]),
        ("completion", [""]),
        ("completion", ["lint", "-"]),
        ("completion", ["status", "-o", ""]),
    ],
    ids=str,
)
def test_a_command_that_needs_no_library_loads_none(module: str, arguments: list[str]) -> None:
    run = call(module, *arguments)

    assert run.returncode == 0, said(run)
    assert run.stdout
    assert not loaded(run) & set(HEAVY)


KUBECONFIG = """
apiVersion: v1
kind: Config
current-context: a
contexts: [{name: a, context: {cluster: a, user: a}}]
clusters: [{name: a, cluster: {server: "http://127.0.0.1:9"}}]
users: [{name: a, user: {}}]
"""


@pytest.mark.parametrize(
    ("options", "message", "code"),
    [
        (["--context", "b"], "the kubeconfig has no context named b", 2),
        (["--cluster", "b"], "the kubeconfig has no cluster named b", 2),
        (["--user", "b"], "the kubeconfig has no user named b", 2),
        (["--server", "nowhere"], "nowhere is not a URL", 2),
        (["--as-group", "sre"], "--as-group needs --as", 2),
        (["--request-timeout", "soon"], "'soon' is not a valid duration", 2),
        ([], "connection refused (127.0.0.1:9)", 1),
    ],
    ids=str,
)
def test_a_connection_that_fails_is_one_plain_line(
    options: list[str], message: str, code: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    file = tmp_path_factory.mktemp("kube") / "config"
    file.write_text(KUBECONFIG)
    run = call("kubectl", "status", *options, KUBECONFIG=str(file))

    assert run.returncode == code
    assert message in said(run)
    assert len(said(run).splitlines()) == 1
    assert "Errno" not in said(run) and "Exception" not in said(run)


@pytest.mark.parametrize(
    ("message", "plain"),
    [
        ("[Errno 111] Connect call failed ('127.0.0.1', 9)", "connection refused (127.0.0.1:9)"),
        ("[Errno 111] Connect call failed ('::1', 9, 0, 0)", "connection refused (::1:9)"),
        ("[Errno 113] No route to host", "no route to host"),
        ("[Errno 28] No space left on device", "no space left on device"),
        (
            "[Errno 98] error while attempting to bind on address ('::1', 80, 0, 0): address already in use",
            "cannot listen on ::1:80: address already in use",
        ),
        (
            "Cannot connect to host a:1 ssl:default [[SSL: WRONG_VERSION_NUMBER] wrong version number (_ssl.c:1006)]",
            "TLS with a:1 failed: wrong version number: does it serve https?",
        ),
        (
            "Cannot connect to host a:1 ssl:True [SSLCertVerificationError: (1, '[SSL: CERTIFICATE_VERIFY_FAILED] "
            "certificate verify failed: self-signed certificate (_ssl.c:1006)')]",
            "TLS with a:1 failed: certificate verify failed: self-signed certificate",
        ),
        ("[Errno x] odd", "[Errno x] odd"),
        ("the answer is no object", "the answer is no object"),
    ],
)
def test_system_errors_are_words(message: str, plain: str) -> None:
    assert plain_os_error(message) == plain


@pytest.mark.parametrize(
    ("module", "arguments", "told"),
    [
        ("operator", ["run", "--port", "abc"], "'--port': it is not a valid integer"),
        ("operator", ["run", "--log-level", "shout"], "'--log-level': 'shout' is not one of 'debug', 'info'"),
        ("operator", ["config", "-o", "xml"], "'xml' is not one of 'yaml', 'json'"),
        ("kubectl", ["simulate", "x", "--seed", "1.5"], "'--seed': it is not a valid integer"),
    ],
    ids=str,
)
def test_an_invalid_value_is_explained_in_plain_words(module: str, arguments: list[str], told: str) -> None:
    run = call(module, *arguments)

    assert run.returncode == 2
    assert told in said(run)
    assert "Value error" not in said(run) and "Input should" not in said(run)


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", ">&- 2>&-", "<&- >&- 2>&-"])
@pytest.mark.parametrize("command", ["version", "--help", "lint -", "convert -", "lint manifests/samples"])
def test_a_closed_stream_is_no_fault(command: str, closed: str) -> None:
    program = f"{sys.executable} -m resilience_operator.cli.kubectl"
    run = subprocess.run(
        ["sh", "-c", f"{program} {command} {closed}"],
        input="kind: X",
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT / "operator")},
        cwd=ROOT,
    )
    assert run.returncode in (0, 1), run.stderr
    assert "Traceback" not in run.stderr


def test_only_expected_failures_are_one_line() -> None:
    assert failure_of(UsageError("x")) == ("x", 2)
    assert failure_of(RecursionError()) == ("the input is nested too deeply", 2)
    assert failure_of(OSError(2, "No such file or directory", "x.yaml")) == ("x.yaml: No such file or directory", 1)
    assert failure_of(OSError(28, "No space left on device")) == ("no space left on device", 1)
    assert failure_of(TryAgain("TimeoutError", dependency="kubernetes", reason="timeout")) == (
        "kubernetes: no answer in time",
        1,
    )
    assert failure_of(ZeroDivisionError()) is None
