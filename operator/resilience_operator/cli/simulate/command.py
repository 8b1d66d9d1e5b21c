"""`simulate`."""

from __future__ import annotations

from typing import Annotated

import typer

from resilience_operator.cli.common import options
from resilience_operator.cli.common.console import EXIT_FAILED, Output, print_note


def simulate(
    file: Annotated[str, typer.Argument(help="Scenario file; - for standard input.", metavar="FILE")],
    policy: Annotated[
        str | None,
        typer.Option("-f", "--policy", help=("Policy file, instead of the policy in the scenario."), metavar="FILE"),
    ] = None,
    seed: Annotated[
        int | None, typer.Option("--seed", help=("Seed of the random numbers, instead of the one in the scenario."))
    ] = None,
    output: options.OutputOption = Output.TABLE,
    picture: options.PictureOption = None,
) -> None:
    """Run a policy on a simulated scenario of load, releases and outages.

    Uses the operator's own code; no cluster is needed. If the scenario has expectations, the exit code is 1
    when one is not met.

    \b
    Examples:
      kubectl resilience simulate docs/scenarios/bad-release.yaml
      kubectl resilience simulate docs/scenarios/sine.yaml --picture sine.html
      kubectl resilience simulate docs/scenarios/sine.yaml -f my-policy.yaml -o json
    """  # noqa: D301 - the \b tells click to keep the lines
    from resilience_operator.cli.report.output import check_picture, write_report
    from resilience_operator.cli.scenario.check import check
    from resilience_operator.cli.scenario.description import describe
    from resilience_operator.cli.scenario.reader import read_scenario
    from resilience_operator.cli.scenario.run import run

    check_picture(picture)
    found = read_scenario(file, policy)
    scenario = found.scenario
    if seed is not None:
        scenario = scenario.model_copy(update={"seed": seed})
    result = run(scenario, found.policy, found.title, found.folder)
    checks = [(describe(e), check(e, result.trace)) for e in scenario.expect]
    unmet = [f"expected {text}, but {c.seen}" for text, c in checks if not c.met]
    write_report(
        result.report, output, picture, {"expected": len(scenario.expect), "unmet": unmet} if scenario.expect else {}
    )
    for sentence in unmet:
        print_note(sentence)
    if unmet:
        raise typer.Exit(EXIT_FAILED)
