"""Custom queries that are not PromQL, or too large."""

from __future__ import annotations

from collections.abc import Iterator

from resilience_operator.api.spec import PolicySpec
from resilience_operator.cli.lint.finding import Finding
from resilience_operator.promql.errors import TemplateError
from resilience_operator.promql.scanner import OversizedError, PolicySize
from resilience_operator.promql.syntax import parse
from resilience_operator.signals.query.template import with_examples


def query_findings(spec: PolicySpec) -> Iterator[Finding]:
    """Errors of all custom queries. Those of a plugin are in its own language."""
    if spec.metric_source.type != "prometheus":
        return
    size = PolicySize()
    for number, signal in enumerate(spec.signals):
        for name, query in (("query", signal.query), ("samplesQuery", signal.samples_query)):
            if query is None:
                continue
            try:
                size.add(with_examples(query))
                parse(with_examples(query))
            except OversizedError as error:
                yield Finding("spec.signals", str(error))
                return
            except TemplateError as error:
                yield Finding(f"spec.signals[{number}].{name}", str(error))
