"""`lint`: what is wrong with policies in files, and on which line, before anybody applies them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from resilience_operator.api.v1alpha1 import KIND, InvalidPolicy, parse_policy
from resilience_operator.cli.console import Failed, Wrong
from resilience_operator.cli.documents import Document, documents


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing to change. line: 0 where a whole file is meant. path: within the policy."""

    file: str
    line: int
    path: str
    message: str

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}" if self.line else self.file
        return f"{where}: {self.path}: {self.message}" if self.path else f"{where}: {self.message}"


@dataclass(slots=True)
class Findings:
    """What came of linting: the faults, and how many policies were looked at."""

    faults: list[Fault]
    policies: int = 0


def lint(files: Iterable[str]) -> Findings:
    """Look through files. Documents of other kinds are none of ours. Raises Failed when there was no policy at all."""
    findings = Findings([])
    for file in files:
        try:
            for document in documents(file):
                if isinstance(document.content, dict) and document.content.get("kind") == KIND:
                    findings.policies += 1
                    findings.faults += _faults(document)
        except Wrong as error:
            findings.faults.append(Fault(file, 0, "", str(error).removeprefix(f"{file} ")))
    if not findings.policies and not findings.faults:
        raise Failed(f"there is no {KIND} in what was given")
    return findings


def _faults(document: Document) -> Iterator[Fault]:
    try:
        parse_policy(document.content)
    except InvalidPolicy as error:
        for problem in error.problems:
            line = document.line_of(problem.path)
            yield Fault(document.file, line, problem.path, problem.message)
