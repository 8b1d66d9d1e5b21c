"""Reads scenario files. Problems name the file, the line and the field."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from resilience_operator.api.invalid import invalid_policy
from resilience_operator.api.v1alpha1 import InvalidPolicy
from resilience_operator.cli.common.console import UsageError
from resilience_operator.cli.common.documents import STDIN, Document, documents, only_policy
from resilience_operator.cli.common.policy_loader import load_policy
from resilience_operator.cli.scenario.interpolation import read_table
from resilience_operator.cli.scenario.model import Scenario
from resilience_operator.cli.scenario.policies import policy_document


@dataclass(frozen=True, slots=True)
class ScenarioFile:
    """A scenario with its policy as a document. file: the path as given."""

    file: str
    scenario: Scenario
    policy: dict[str, Any]

    @property
    def folder(self) -> str:
        """The folder that its file names are relative to."""
        return str(Path(self.file).parent) if self.file != STDIN else "."

    @property
    def title(self) -> str:
        """The file's name without its suffix."""
        return Path(self.file).stem if self.file != STDIN else "scenario"


def read_scenario(file: str, policy: str | None = None) -> ScenarioFile:
    """Read a scenario and its policy, or the one in the file `policy` instead.

    Raises UsageError with the line of each problem, also of the policy.
    """
    found = list(documents(file))
    if len(found) != 1 or not isinstance(found[0].content, dict):
        raise UsageError(
            f"{file} is not a scenario: it must contain one mapping with policy, workload, load and duration"
        )
    scenario = _parse(found[0])
    for series in (scenario.load, *(s.series for s in scenario.signals.values())):
        for point in series:
            if point.csv is not None:
                read_table(str(Path(file).parent / point.csv))
    folder = str(Path(file).parent)
    written = {f"events[{n}].policy": e.policy for n, e in enumerate(scenario.events) if e.policy is not None}
    for path, changed in written.items():
        _check_policy(found[0], path, changed, folder)
    if policy is not None:
        body = only_policy(policy)
        _check_policy(found[0], policy, body, folder, of_file=policy)
    else:
        body = _check_policy(found[0], "policy", scenario.policy, folder)
    return ScenarioFile(file, scenario, body)


def _check_policy(
    document: Document, path: str, written: str | dict[str, Any], folder: str, of_file: str = ""
) -> dict[str, Any]:
    """The policy as a document, if it is valid. path: the field that names or contains it."""
    body = policy_document(written, folder)
    try:
        load_policy(body)
    except InvalidPolicy as error:
        if isinstance(written, dict) and not of_file:
            raise UsageError(_problems(document, error, f"{path}.")) from None
        name = of_file or str(Path(folder) / str(written))
        raise UsageError(f"{document.file}: policy {name}: {error}") from None
    return body


def _parse(document: Document) -> Scenario:
    if isinstance(document.content, dict) and {"apiVersion", "kind"} <= document.content.keys():
        raise UsageError(
            f"{document.file} is a {document.content['kind']}, not a scenario: a scenario names the file of a policy, "
            "and has workload, load and duration"
        )
    try:
        return Scenario.model_validate(document.content)
    except ValidationError as error:
        raise UsageError(_problems(document, invalid_policy(error))) from None


def _problems(document: Document, error: InvalidPolicy, prefix: str = "") -> str:
    return "\n".join(f"{document.file}:{document.line_of(prefix + p.path)}: {prefix}{p}" for p in error.problems)
