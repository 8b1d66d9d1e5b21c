"""`lint`: finds errors in policy files, with line numbers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from resilience_operator.api.v1alpha1 import GROUP, KIND
from resilience_operator.cli.common.documents import Document, FileError, documents
from resilience_operator.cli.common.errors import CommandError, UsageError
from resilience_operator.cli.lint.all_problems import all_problems, is_replaced
from resilience_operator.cli.lint.duplicates import DuplicatePolicies, duplicate_keys
from resilience_operator.cli.lint.files import expand
from resilience_operator.cli.lint.problem import LintProblem
from resilience_operator.cli.lint.queries import query_findings
from resilience_operator.cli.lint.settings import setting_findings
from resilience_operator.cli.lint.thresholds import threshold_findings
from resilience_operator.runtime.masking import mask_userinfo


@dataclass(slots=True)
class LintResult:
    """The findings, by file and line, and the number of checked policies."""

    problems: list[LintProblem] = field(default_factory=list)
    policies: int = 0

    @property
    def has_errors(self) -> bool:
        """Whether there is more than warnings."""
        return any(not problem.warning for problem in self.problems)


def lint(files: Iterable[str]) -> LintResult:
    """Check files, and those below folders. Documents of other kinds are skipped. Raises CommandError without any."""
    found = LintResult()
    duplicates = DuplicatePolicies()
    for file in expand(files):
        if not isinstance(file, str):
            found.problems.append(_unreadable(*file))
            continue
        of_file: list[LintProblem] = []
        errors: list[FileError] = []
        try:
            for document in documents(file, errors):
                for policy in _policies(document, of_file):
                    found.policies += 1
                    of_file += [*_problems(policy), *duplicates.add(policy)]
        except UsageError as error:
            of_file.append(_unreadable(file, error))
        of_file += [_unreadable(file, error) for error in errors]
        found.problems += sorted(dict.fromkeys(map(_masked, of_file)), key=lambda problem: problem.line)
    if not found.policies and not found.problems:
        raise CommandError(f"the input contains no {KIND}")
    return found


def _unreadable(file: str, error: UsageError) -> LintProblem:
    if isinstance(error, FileError):
        return LintProblem(file, error.line, "", error.problem)
    return LintProblem(file, 0, "", str(error).replace(f"cannot read {file}:", "cannot be read:"))


def _masked(problem: LintProblem) -> LintProblem:
    """The problem without a password in a URL: messages show values of the file."""
    message = str(mask_userinfo(problem.message))
    return LintProblem(problem.file, problem.line, problem.path, message, problem.warning)


def _policies(document: Document, problems: list[LintProblem]) -> Iterator[Document]:
    """The policies in a document, which may be a list from kubectl. Adds errors for a kind that is misspelled."""
    for one in document.flat():
        content = one.content
        if not isinstance(content, dict):
            continue
        if content.get("kind") == KIND:
            yield one
        elif str(content.get("apiVersion", "")).partition("/")[0] == GROUP:
            message = f"this API group has only the kind {KIND}: correct it"
            problems.append(LintProblem(one.file, one.line_of("kind"), "kind", message))


def _problems(document: Document) -> Iterator[LintProblem]:
    for path, line in duplicate_keys(document.node):
        yield LintProblem(document.file, line, path, "is written twice, and the last one counts: keep one of them")
    problems, spec = all_problems(document.content)
    for problem in problems:
        yield LintProblem(document.file, document.line_of(problem.path), problem.path, problem.message)
    if spec is None:
        return
    for finder in (query_findings, threshold_findings, setting_findings):
        for finding in finder(spec):
            if not is_replaced(finding.path, problems):
                line = document.line_of(finding.path)
                yield LintProblem(document.file, line, finding.path, finding.message, finding.warning)
