"""`python -m tests.cluster.loadmodel --kubeconfig F --listen 127.0.0.1:9105`."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import signal
import time
from dataclasses import replace

from aiohttp import web

from .engine import Engine
from .pods import Watcher
from .server import Server
from .settings import Effective

LOOPBACK = ("127.", "localhost", "::1")


async def serve(arguments: argparse.Namespace) -> None:
    """Watch and answer until SIGTERM or SIGINT."""
    engine = Engine(replace(Effective(), rps=arguments.default_rps))
    watcher = Watcher(engine, arguments.kubeconfig, time.monotonic)
    runner = web.AppRunner(
        Server(engine, time.monotonic, lambda: watcher.ready).app(), access_log=None, shutdown_timeout=1.0
    )
    await runner.setup()
    host, port = arguments.listen
    await web.TCPSite(runner, host, port).start()
    logging.info("listening on %s:%s", host, port)

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    watching = asyncio.create_task(watcher.run())
    stopping = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait((watching, stopping), return_when=asyncio.FIRST_COMPLETED)
        if watching.done():
            watching.result()  # It never ends by itself, so this raises what ended it.
    finally:
        for task in (watching, stopping):
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError, Exception):
                await task
        await runner.cleanup()


def _listen(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host.strip("[]").startswith(LOOPBACK):
        raise argparse.ArgumentTypeError("listens on loopback only: anyone who can reach it can set anything")
    return host.strip("[]"), int(port)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.cluster.loadmodel", description=__doc__)
    parser.add_argument("--kubeconfig", help="default: KUBECONFIG, then ~/.kube/config")
    parser.add_argument("--listen", type=_listen, default=("127.0.0.1", 9105), metavar="HOST:PORT")
    parser.add_argument(
        "--default-rps", type=float, default=Effective().rps, help="load of a workload without settings"
    )
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s loadmodel %(message)s")
    asyncio.run(serve(arguments))


if __name__ == "__main__":
    main()
