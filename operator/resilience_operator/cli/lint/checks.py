"""`lint`: finds errors in policy files, with line numbers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from resilience_operator.api.spec import PolicySpec
from resilience_operator.api.v1alpha1 import KIND, InvalidPolicy, parse_policy
from resilience_operator.cli.common.console import CommandError, UsageError
from resilience_operator.cli.common.documents import Document, documents
from resilience_operator.cli.lint.warnings import warnings
from resilience_operator.promql.errors import TemplateError
from resilience_operator.promql.scanner import OversizedError, PolicySize
from resilience_operator.signals.query.template import PLACEHOLDER


@dataclass(frozen=True, slots=True)
class LintProblem:
    """One error or warning. line: 0 for the whole file. path: within the policy."""

    file: str
    line: int
    path: str
    message: str
    warning: bool = False

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}" if self.line else self.file
        message = f"warning: {self.message}" if self.warning else self.message
        return f"{where}: {self.path}: {message}" if self.path else f"{where}: {message}"


@dataclass(slots=True)
class LintResult:
    """The lint result: the errors, and the number of checked policies."""

    problems: list[LintProblem]
    policies: int = 0

    @property
    def has_errors(self) -> bool:
        """Whether the operator would refuse a policy. Warnings are about policies that it accepts."""
        return any(not problem.warning for problem in self.problems)


def lint(files: Iterable[str]) -> LintResult:
    """Check files. Documents of other kinds are skipped. Raises CommandError if there is no policy."""
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
        for path, message in warnings(spec):
            yield LintProblem(document.file, document.line_of(path), path, message, warning=True)


def _query_problems(spec: PolicySpec) -> Iterator[tuple[str, str]]:
    """Errors for custom queries that are too large for a metric source with tenancy."""
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
