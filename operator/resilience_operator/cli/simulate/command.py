"""`simulate`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from resilience_operator.cli.common import options
from resilience_operator.cli.common.console import EXIT_FAILED, Output, print_note
from resilience_operator.cli.report.output import write_report


def simulate(
    file: Annotated[str, typer.Argument(help="Scenario file; - reads standard input.", metavar="FILE")],
    policy: Annotated[
        str | None, typer.Option("-f", "--policy", help="Try this policy in place of the scenario's.", metavar="FILE")
    ] = None,
    seed: Annotated[int | None, typer.Option("--seed", help="Other random numbers than the scenario's.")] = None,
    output: options.OutputOption = Output.TABLE,
    picture: options.PictureOption = None,
) -> None:
    """Try a policy on a scenario: a load, releases, outages.

    No cluster is needed. The policy decides by the operator's own code; the service exists only in numbers.
    Where the scenario says what is expected, the exit code is 1 when it does not come.

    \b
    Examples:
      kubectl resilience simulate docs/scenarios/bad-release.yaml
      kubectl resilience simulate docs/scenarios/sine.yaml --picture sine.html
      kubectl resilience simulate docs/scenarios/sine.yaml -f my-policy.yaml -o json
    """  # noqa: D301 - the \b tells click to keep the lines
    from resilience_operator.cli.common.documents import only_policy
    from resilience_operator.cli.simulate.run import failed_expectations, run
    from resilience_operator.cli.simulate.scenario import read_scenario

    scenario, document = read_scenario(file)
    if policy is not None:
        document = only_policy(policy)
    if seed is not None:
        scenario = scenario.model_copy(update={"seed": seed})
    report = run(scenario, document, Path(file).stem if file != "-" else "scenario")
    missing = failed_expectations(report, scenario.expect)
    write_report(
        report, output, picture, {"expected": len(scenario.expect), "unmet": missing} if scenario.expect else {}
    )
    for sentence in missing:
        print_note(sentence)
    if missing:
        raise typer.Exit(EXIT_FAILED)
