"""`kubectl resilience`: the kubectl plugin."""

from __future__ import annotations

from resilience_operator.cli.approve.command import approve, deny
from resilience_operator.cli.common.app import SETTINGS, App, Command, Group, add_version
from resilience_operator.cli.common.errors import PROGRAM
from resilience_operator.cli.convert.command import convert
from resilience_operator.cli.explain.command import explain
from resilience_operator.cli.history.command import history
from resilience_operator.cli.init.command import init
from resilience_operator.cli.lint.command import lint
from resilience_operator.cli.pause.command import pause, resume
from resilience_operator.cli.release.command import release
from resilience_operator.cli.release_report.command import report
from resilience_operator.cli.replay.command import replay
from resilience_operator.cli.simulate.command import simulate
from resilience_operator.cli.status.command import status
from resilience_operator.cli.test.command import run_tests

app = App(
    name=PROGRAM,
    cls=Group,
    help="Inspect, pause, create and test resilience policies.",
    **SETTINGS,
    epilog="Exit codes: 0 success; 1 failure or nothing found; 2 invalid arguments, file or configuration.",
)

COMMANDS = (
    *(status, explain, history, report, pause, resume, approve, deny, release),
    *(init, convert, lint, simulate, replay),
)
for command in COMMANDS:
    app.command(cls=Command)(command)
app.command(name="test", cls=Command)(run_tests)
add_version(app)


if __name__ == "__main__":
    app(prog_name=PROGRAM)
