"""`lint`: what is wrong with policies in files, and on which line, before anybody applies them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from resilience_operator.api.spec import PolicySpec
from resilience_operator.api.v1alpha1 import KIND, InvalidPolicy, parse_policy
from resilience_operator.cli.common.console import CommandError, UsageError
from resilience_operator.cli.common.documents import Document, documents
from resilience_operator.promql.errors import TemplateError
from resilience_operator.promql.scanner import OversizedError, PolicySize
from resilience_operator.signals.query.template import PLACEHOLDER


@dataclass(frozen=True, slots=True)
class LintProblem:
    """One thing to change. line: 0 where a whole file is meant. path: within the policy."""

    file: str
    line: int
    path: str
    message: str

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}" if self.line else self.file
        return f"{where}: {self.path}: {self.message}" if self.path else f"{where}: {self.message}"


@dataclass(slots=True)
class LintResult:
    """What came of linting: the faults, and how many policies were looked at."""

    problems: list[LintProblem]
    policies: int = 0


def lint(files: Iterable[str]) -> LintResult:
    """Look through files. Documents of other kinds are none of ours. Raises Failed when there was no policy at all."""
    findings = LintResult([])
    for file in files:
        try:
            for document in documents(file):
                if isinstance(document.content, dict) and document.content.get("kind") == KIND:
                    findings.policies += 1
                    findings.problems += _problems(document)
        except UsageError as error:
            findings.problems.append(
                LintProblem(
                    file, 0, "", str(error).removeprefix(f"{file} ").replace(f"cannot read {file}:", "cannot be read:")
                )
            )
    if not findings.policies and not findings.problems:
        raise CommandError(f"the input contains no {KIND}")
    return findings


def _problems(document: Document) -> Iterator[LintProblem]:
    try:
        spec = parse_policy(document.content).spec
    except InvalidPolicy as error:
        for problem in error.problems:
            line = document.line_of(problem.path)
            yield LintProblem(document.file, line, problem.path, problem.message)
    else:
        for path, message in _query_problems(spec):
            yield LintProblem(document.file, document.line_of(path), path, message)


def _query_problems(spec: PolicySpec) -> Iterator[tuple[str, str]]:
    """Custom queries that a metric source with tenancy refuses for their size."""
    size = PolicySize()
    for number, signal in enumerate(spec.signals):
        for name, query in (("query", signal.query), ("samplesQuery", signal.samples_query)):
            try:
                size.add(PLACEHOLDER.sub("x", query or ""))
            except OversizedError as error:
                yield "spec.signals", str(error)
                return
            except TemplateError as error:
                yield f"spec.signals[{number}].{name}", str(error)
