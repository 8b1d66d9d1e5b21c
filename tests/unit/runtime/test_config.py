"""The operator's configuration: what is refused, in one line, and that no secret is ever printed."""

from __future__ import annotations

import json
import logging
import os
import threading
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from resilience_operator.cli.operator import app
from resilience_operator.runtime.config import BadConfig, load, show
from resilience_operator.runtime.telemetry.log_setup import configure_logging

SECRET = "hunter2hunter2"


@pytest.mark.parametrize(
    ("address", "problem"),
    [
        ("foo", "must be an http:// or https:// address"),
        ("ftp://x", "must be an http:// or https:// address"),
        (f"http://user:{SECRET}@x:9090", "must not contain credentials: use username_file and password_file"),
        (f"http://{SECRET}@x:9090", "must not contain credentials: use username_file and password_file"),
        (f"http://x:9090/?token={SECRET}", "must not have a query or fragment: use `parameters`"),
        (f"http://user:{SECRET}@[::1", "must be an http:// or https:// address with a valid host and port"),
        (f"http://user:{SECRET}@x℀y", "must be an http:// or https:// address with a valid host and port"),
        ("http://x:99999", "must be an http:// or https:// address with a valid host and port"),
        ("http://x:port", "must be an http:// or https:// address with a valid host and port"),
    ],
)
@pytest.mark.parametrize("way", ["config", "run", "flag"])
def test_a_wrong_address_is_one_line_and_exit_code_2(way: str, address: str, problem: str) -> None:
    """`config` and `run` agree, and the line does not repeat the address."""
    env = {} if way == "flag" else {"RESILIENCE_PROMETHEUS_URL": address}
    arguments = {"config": ["config"], "run": ["run"], "flag": ["run", "--prometheus-url", address]}[way]
    found = CliRunner().invoke(app, arguments, env=env)
    assert found.exit_code == 2
    assert found.stdout == ""
    assert found.stderr == f"resilience-operator: prometheus_url: {problem}\n"


def test_a_variable_that_is_no_json_is_one_line() -> None:
    found = CliRunner().invoke(app, ["config"], env={"RESILIENCE_SOURCES": f"[{SECRET}"})
    assert (found.exit_code, found.stdout, found.stderr.count("\n")) == (2, "", 1)
    assert "sources" in found.stderr
    assert SECRET not in found.stderr


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"- a\n", "{} must contain a mapping, like `port: 8080`"),
        (b"port\n", "{} must contain a mapping, like `port: 8080`"),
        (b"1: 2\n", "{} must contain a mapping, like `port: 8080`"),
        (f"port: [{SECRET}\n".encode(), "{} is not valid YAML: line 2, column 1"),
        (f"port: *{SECRET}\n".encode(), "{} is not valid YAML: line 1, column 7"),
        (b"\xff\xfe\xff", "{} is not valid YAML"),
        (b"[" * 20_000, "{} is not valid YAML"),
    ],
)
def test_a_file_that_cannot_be_used(tmp_path: Path, content: bytes, problem: str) -> None:
    """The line says where, and repeats nothing of the file."""
    file = tmp_path / "config.yaml"
    file.write_bytes(content)
    with pytest.raises(BadConfig) as refused:
        load({}, file)
    assert str(refused.value) == problem.format(file)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("sources: 5", "sources: its value is not a list"),
        ("port: abc", "port: its value is not an integer"),
        ("port: 70000", "port: its value is too large: write 65535 or less"),
        ("dashboard: maybe", "dashboard: its value is not true or false"),
        ("prometheus_ulr: http://x", "prometheus_ulr: unknown setting: did you mean prometheus_url?"),
        ("zzz: 1", "zzz: unknown setting: remove it"),
        ("sources: [{name: a, url: foo}]", "sources[0].url: must be an http:// or https:// address"),
        ("sources: [{url: 'http://x'}]", "sources[0].name: is required: add it"),
        ("sources: [{name: a, url: 'http://x', ulr: 1}]", "sources[0].ulr: unknown field: remove it"),
        ("sources: [x]", "sources[0]: its value is not a mapping"),
        ("lease_seconds: 1", "lease_seconds: its value is too small: write 10 or more"),
        ("namespaces: [Bad_NS]", "namespaces: 'Bad_NS' is not the name of a namespace"),
    ],
)
def test_a_setting_that_is_wrong_is_explained(tmp_path: Path, content: str, told: str) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(content)
    with pytest.raises(BadConfig) as refused:
        load({}, file)
    assert told in str(refused.value)
    assert "Input" not in str(refused.value)


def test_a_list_in_a_variable_is_json(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RESILIENCE_NAMESPACES", '["shop"]')
    assert load({}).namespaces == ("shop",)
    for wrong in ("shop,cart", "[", "shop"):
        monkeypatch.setenv("RESILIENCE_NAMESPACES", wrong)
        with pytest.raises(BadConfig) as refused:
            load({})
        assert str(refused.value) == 'namespaces: RESILIENCE_NAMESPACES is not valid JSON: write a list like ["a", "b"]'


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(BadConfig) as refused:
        load({}, tmp_path / "none.yaml")
    assert str(refused.value) == f"configuration file {tmp_path / 'none.yaml'} does not exist"
    with pytest.raises(BadConfig) as refused:
        load({}, tmp_path)
    assert str(refused.value) == f"cannot read configuration file {tmp_path}: Is a directory"


def test_a_file_may_be_a_pipe_or_empty(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_text, args=("port: 9000\n",))
    writer.start()
    assert load({}, pipe).port == 9000
    writer.join()
    assert load({}, Path(os.devnull)) == load({})


def test_flags_come_before_variables_and_those_before_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("port: 1001\nlog_level: error\nlisten: 127.0.0.1\n")
    monkeypatch.setenv("RESILIENCE_PORT", "1002")
    monkeypatch.setenv("RESILIENCE_LOG_LEVEL", "debug")
    found = load({"port": 1003}, file)
    assert (found.port, found.log_level, found.listen) == (1003, "debug", "127.0.0.1")
    assert load({}).listen == "0.0.0.0"


@pytest.mark.parametrize(
    ("options", "shown"),
    [
        ({"url": f"https://hooks.slack.com/services/T0/B0/{SECRET}"}, {"url": "https://hooks.slack.com/**********"}),
        ({"url": f"https://user:{SECRET}@x:8443"}, {"url": "https://**********@x:8443"}),
        ({"url": f"https://{SECRET}@x/"}, {"url": "https://**********@x/"}),
        ({"url": f"https://x?token={SECRET}"}, {"url": "https://x/**********"}),
        (
            {"urls": [f"slack://{SECRET}/a/b", f"json://u:{SECRET}@x"]},
            {"urls": ["slack://**********", "json://**********"]},
        ),
        ({"routing_key": SECRET}, {"routing_key": "**********"}),
        ({"routing-key": SECRET}, {"routing-key": "**********"}),
        ({"apiKey": SECRET}, {"apiKey": "**********"}),
        ({"PASSWORD": SECRET}, {"PASSWORD": "**********"}),
        ({"pin_secret": 12345678}, {"pin_secret": "**********"}),
        ({"headers": {"X-Anything": SECRET}}, {"headers": {"X-Anything": "**********"}}),
        ({"auth": {"user": SECRET, "list": [SECRET]}}, {"auth": {"user": "**********", "list": ["**********"]}}),
        ({"deep": [{"token": SECRET}]}, {"deep": [{"token": "**********"}]}),
        ({"greeting": f"Bearer {SECRET}"}, {"greeting": "**********"}),
        ({"id": f"{SECRET}{SECRET}"}, {"id": "**********"}),
        ({"dsn": f"postgres://u:{SECRET}@db/x"}, {"dsn": "**********"}),
    ],
)
@pytest.mark.parametrize("kind", ["notifiers", "actions", "sources"])
def test_options_of_plugins_are_masked(kind: str, options: dict[str, Any], shown: dict[str, Any]) -> None:
    (found,) = show(load({kind: [{"name": "a", "type": "plug", "options": options}]}))[kind]
    assert found["options"] == shown


def test_what_is_no_secret_is_shown() -> None:
    options = {
        "url_file": "/etc/notify/url", "bearer_token_file": "/etc/notify/token", "channel": "#alerts", "retries": 3,
        "verify": True, "site": "eu", "header_files": {"X-Token": "/etc/notify/header"}, "none": None,
        "base": "https://api.example.org:8443",
    }  # fmt: skip
    (found,) = show(load({"notifiers": [{"name": "a", "type": "plug", "options": options}]}))["notifiers"]
    assert found["options"] == options


def test_secrets_of_a_metric_source_are_masked() -> None:
    source = {
        "name": "a",
        "url": "https://a/prefix",
        "headers": {"X-Scope-OrgID": SECRET},
        "parameters": {"token": SECRET, "dedup": "true"},
    }
    (found,) = show(load({"sources": [source]}))["sources"]
    assert found["url"] == "https://a/prefix"
    assert found["headers"] == {"X-Scope-OrgID": "**********"}
    assert found["parameters"] == {"token": "**********", "dedup": "true"}


def test_the_time_of_a_log_line_is_rfc_3339(capsys: pytest.CaptureFixture[str]) -> None:
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    try:
        configure_logging("json", "info")
        logging.getLogger("resilience_operator.test").info("hello")
        line = json.loads(capsys.readouterr().err)
    finally:
        logging.basicConfig(handlers=before or [logging.NullHandler()], level=level, force=True)
    assert line["time"].endswith("Z")
    assert len(line["time"]) == len("2026-01-31T12:30:05.123Z")
    assert datetime.fromisoformat(line["time"]).utcoffset() == timedelta(0)


def test_the_time_of_a_console_line_is_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    try:
        configure_logging("console", "info")
        logging.getLogger("resilience_operator.test").info("hello")
        time, _, _ = capsys.readouterr().err.partition(" ")
    finally:
        logging.basicConfig(handlers=before or [logging.NullHandler()], level=level, force=True)
    assert time.endswith("Z")
    assert datetime.fromisoformat(time).utcoffset() == timedelta(0)
