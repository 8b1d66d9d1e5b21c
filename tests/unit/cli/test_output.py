"""Pure: what `-o` accepts, and JSONPath templates as kubectl reads them."""

from __future__ import annotations

from typing import Any

import pytest

from resilience_operator.cli.common.errors import UsageError
from resilience_operator.cli.output.formats import TABLE, Form, parse_output
from resilience_operator.cli.output.jsonpath import parse_template

DOCUMENT: dict[str, Any] = {
    "name": "checkout",
    "replicas": 4,
    "dryRun": False,
    "odd.key/x": "odd",
    "signals": [
        {"name": "cpu", "value": "40%", "samples": 3},
        {"name": "error-rate", "value": "2%", "samples": 7},
        {"name": "latency-p99"},
    ],
    "target": {"kind": "Deployment", "name": "shop"},
}


@pytest.mark.parametrize(
    ("template", "shown"),
    [
        ("{.name}", "checkout"),
        (".name", "checkout"),
        ("{$.name}", "checkout"),
        ("{.replicas} {.dryRun}", "4 false"),
        ("{.missing}{.signals[7].name}", ""),
        ("{.signals[*].name}", "cpu error-rate latency-p99"),
        ("{.signals[0]['name']}", "cpu"),
        ("{.signals[-1:].name}", "latency-p99"),
        ("{.signals[-1].name}", "latency-p99"),
        ("{.signals[0:2].name}", "cpu error-rate"),
        ("{.signals[::2].name}", "cpu latency-p99"),
        ("{..name}", "checkout cpu error-rate latency-p99 shop"),
        ("{.target.*}", "Deployment shop"),
        ("{.target}", '{"kind": "Deployment", "name": "shop"}'),
        (r"{.odd\.key/x}{['odd.key/x']}", "oddodd"),
        ('{range .signals[*]}{.name}{"\\t"}{.value}{"\\n"}{end}', "cpu\t40%\nerror-rate\t2%\nlatency-p99\t\n"),
        ("{range .signals[0:2]}{.name}@{$.target.name} {end}", "cpu@shop error-rate@shop "),
        ('{.signals[?(@.name=="error-rate")].value}', "2%"),
        ('{.signals[?(@.name == "no)]}")].value}', ""),
        ("{.signals[?(@.samples > 5)].name}", "error-rate"),
        ("{.signals[?(@.value)].name}", "cpu error-rate"),
        ('name: {.name}{"}"}', "name: checkout}"),
        ("{@.name}{.}", "checkout" + __import__("json").dumps(DOCUMENT)),
    ],
)
def test_templates(template: str, shown: str) -> None:
    assert parse_template(template).render(DOCUMENT) == shown


def test_a_list_is_a_document() -> None:
    assert parse_template('{range [*]}{.name}{"\\n"}{end}').render([DOCUMENT, DOCUMENT]) == "checkout\ncheckout\n"
    assert parse_template("{[0].name}").render([DOCUMENT]) == "checkout"


@pytest.mark.parametrize(
    "template",
    [
        "{.name",
        "{.a[}",
        "{range .a}{.b}",
        "{.a}{end}",
        "{.a[0:1:0]}",
        "{.a[?(b)]}",
        "{'open}",
        "{.a[?(@.b == x)]}",
        "{(}",
    ],
)
def test_a_template_that_cannot_be_read_is_a_wrong_argument(template: str) -> None:
    with pytest.raises(UsageError, match="JSONPath"):
        parse_template(template)


def test_formats() -> None:
    assert [parse_output(form).form for form in ("table", "wide", "name", "json", "yaml", "jsonpath={.a}")] == list(
        Form
    )
    assert TABLE.for_people and parse_output("wide").for_people and parse_output("wide").wide
    assert not parse_output("json").for_people


@pytest.mark.parametrize("text", ["", "xml", "custom-columns=NAME:.name", "json=x", "jsonpath", "jsonpath="])
def test_other_formats_are_refused_with_those_there_are(text: str) -> None:
    with pytest.raises(UsageError, match="-o "):
        parse_output(text)
