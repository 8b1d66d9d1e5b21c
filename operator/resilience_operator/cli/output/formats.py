"""The option `-o` of commands that print policies, with kubectl's formats."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from resilience_operator.cli.common.console import Output, emit
from resilience_operator.cli.common.errors import UsageError
from resilience_operator.cli.output.jsonpath import JsonPath, parse_template

TYPE = "resiliencepolicy.resilience-operator.io"
"""What `-o name` prints before the slash, as kubectl does."""


class Form(StrEnum):
    """Kinds of output."""

    TABLE = "table"
    WIDE = "wide"
    NAME = "name"
    JSON = "json"
    YAML = "yaml"
    JSONPATH = "jsonpath"


CHOICES = "|".join([*(form for form in Form if form is not Form.JSONPATH), "jsonpath=TEMPLATE"])


@dataclass(frozen=True, slots=True)
class ObjectOutput:
    """A parsed `-o`. template: for jsonpath."""

    form: Form = Form.TABLE
    template: JsonPath | None = None

    @property
    def for_people(self) -> bool:
        """Whether a table or text is printed."""
        return self.form in (Form.TABLE, Form.WIDE)

    @property
    def wide(self) -> bool:
        """Whether more columns are printed."""
        return self.form is Form.WIDE

    def print(self, document: Any, names: Iterable[str]) -> None:
        """Print data for scripts. names: of the policies in it."""
        if self.form is Form.NAME:
            for name in names:
                print(f"{TYPE}/{name}")
        elif self.template is not None:
            sys.stdout.write(self.template.render(document))
        else:
            emit(document, Output(self.form.value))


TABLE = ObjectOutput()


def parse_output(text: str | ObjectOutput) -> ObjectOutput:
    """Parse the value of `-o`. Raises UsageError."""
    if isinstance(text, ObjectOutput):  # the default
        return text
    form, given, template = text.partition("=")
    if form == Form.JSONPATH:
        if not template:
            raise UsageError("-o jsonpath needs a template: -o jsonpath='{.state}'")
        return ObjectOutput(Form.JSONPATH, parse_template(template))
    if given or form not in list(Form):
        raise UsageError(f"-o {text} is not supported: use one of {CHOICES.replace('|', ', ')}")
    return ObjectOutput(Form(form))
