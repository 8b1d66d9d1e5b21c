"""`python -m tests.demo`: the whole story, and an exit code that tells whether it came true."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Callable, Sequence
from types import FrameType

from tests.cluster import ClusterError
from tests.demo import ending
from tests.demo.act import perform
from tests.demo.screen import Screen
from tests.demo.stage import FAILED_LOG, PORTS, SHOP, STATE, Stage, alone, keep_log, set_up, tear_down
from tests.demo.story import SCENES
from tests.real.stage import set_up_real

INTERRUPTED = 130

TIMES = (
    "The policy has the default thresholds, but SHORTENED TIMES (tests/demo/policy.yaml):",
    "interval 5 s, windows 10 s, `for` 10 s, rollback after 5 s, bake 5 s, scale-down after 10 s.",
)
LEGEND = "A line with a bar shows the state: value [threshold] verdict of each signal | pods by image | phase"


def parser() -> argparse.ArgumentParser:
    """The command line."""
    found = argparse.ArgumentParser(
        prog="python -m tests.demo",
        description="Starts a local control plane and the operator, and shows the operator's job in four acts: load "
        "rises; requests are slow; a bad image is released; the same once more in DryRun. Everything is stopped at "
        "the end, also on Ctrl-C.",
        epilog="Exit codes: 0 all of it happened; 1 something did not, and the lists say what; 2 the call is wrong; "
        "130 interrupted.",
    )
    found.add_argument(
        "--keep", action="store_true", help="leave the cluster and the operator running, and say how to look around"
    )
    found.add_argument(
        "--ports", type=int, metavar="BASE", default=PORTS, help="the first of a row of free ports (%(default)s)"
    )
    found.add_argument(
        "--node",
        choices=["simulated", "real"],
        default="simulated",
        help="real: this machine is the node, the operator runs in pods of its own image, and the requests are real "
        "ones (Linux, root, containerd, buildah; default: %(default)s)",
    )
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demo; returns the exit code."""
    options = parser().parse_args(arguments)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    screen = Screen()
    try:
        with alone():
            set_the_stage = set_up_real if options.node == "real" else set_up
            return _run(screen, lambda: set_the_stage(screen.say, options.ports), keep=options.keep)
    except ClusterError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return INTERRUPTED


def _run(screen: Screen, set_the_stage: Callable[[], Stage], *, keep: bool) -> int:
    kept = False
    try:
        screen.headline("The stage")
        try:
            stage = set_the_stage()
        except AssertionError as error:
            _tell_missing(screen, [f"the stage: {error}"])
            return 1
        for sentence in TIMES:
            screen.say(sentence)
        if not screen.live_able:
            screen.say(LEGEND)
        ready_at = screen.elapsed
        missing = _play(stage, screen)
        ending.show(stage, screen)
        screen.console.print()
        if missing:
            _tell_missing(screen, missing)
        else:
            screen.say(f"All of it happened. {screen.elapsed:.0f} s in all, {ready_at:.0f} of them to bring it up.")
        if keep:
            kept = True
            _tell_around(screen)
        return 1 if missing else 0
    except KeyboardInterrupt:
        screen.close()
        screen.say("interrupted")
        raise
    finally:
        if not kept and (STATE / "cluster.json").exists():
            screen.say("stopping everything")
            tear_down(screen.say)


def _play(stage: Stage, screen: Screen) -> list[str]:
    """All acts, up to the first that fails: the next would begin where it should have ended."""
    for number, scene in enumerate(SCENES):
        if missing := perform(scene, stage, screen):
            return [f"{scene.title}: {text}" for text in missing] + [
                f"{later.title}: not played" for later in SCENES[number + 1 :]
            ]
    return []


def _tell_missing(screen: Screen, missing: Sequence[str]) -> None:
    screen.say("Something is missing:")
    for text in missing:
        screen.tick(False, text)
    if keep_log():
        screen.say(f"the operator's log is kept in {FAILED_LOG}")


def _tell_around(screen: Screen) -> None:
    screen.say("The cluster and the operator go on running. Look around:")
    for command in (
        f"export KUBECONFIG={STATE / 'kubeconfig'}",
        f"kubectl -n {SHOP} get rsp,deploy,rs,pods",
        f"kubectl -n {SHOP} describe rsp checkout",
        "kubectl explain rsp.spec.rules",
        f"python -m tests.cluster down --state {STATE}    # stops it all",
    ):
        screen.console.print(f"    {command}", soft_wrap=True)


def _interrupt(number: int, frame: FrameType | None) -> None:
    del number, frame
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
