"""The chDB server process: `python -m infra.embedded.clickhouse_server --path DIR --port N`."""

import argparse
import asyncio
import logging
import os
import shutil
import signal
import sys
from pathlib import Path

from aiohttp import web

from infra.embedded.clickhouse_server.access import Users
from infra.embedded.clickhouse_server.engine import Engine
from infra.embedded.clickhouse_server.recovery import forget_lost_tokens
from infra.embedded.clickhouse_server.server import Server

log = logging.getLogger("clickhouse_server")
SWEEP_S = 5.0
SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - only for our own folder in it


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="clickhouse_server", description=__doc__)
    parser.add_argument("--path", type=Path, required=True, help="folder of the data")
    parser.add_argument("--port", type=int, required=True, help="port on 127.0.0.1")
    return parser.parse_args()


async def _serve(engine: Engine, users: Users, port: int) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    handler = Server(engine, users)

    # handler_cancellation: an analyst's query ends when its client disconnects. `bodies` inflates within bounds
    runner = web.ServerRunner(web.Server(handler, handler_cancellation=True, access_log=None, auto_decompress=False))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    log.info("serving chDB %s on 127.0.0.1:%d", engine.version, port)
    sweeping = asyncio.create_task(_sweep(engine))
    await stop.wait()
    sweeping.cancel()
    await runner.cleanup()
    handler.close()


async def _sweep(engine: Engine) -> None:
    """Close sessions whose time is over, every few seconds."""
    while True:
        await asyncio.sleep(SWEEP_S)
        await asyncio.to_thread(engine.sweep)


def main() -> int:
    """Serve until a signal. Return 1 if the path cannot be opened."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    arguments = _arguments()
    users = Users(
        os.environ.get("LPSTREAM_CLICKHOUSE_PASSWORD", ""), os.environ.get("LPSTREAM_CLICKHOUSE_ANALYST_PASSWORD", "")
    )
    os.umask(0o077)  # the path will hold the keys of the bucket
    arguments.path.mkdir(parents=True, exist_ok=True)
    removed = forget_lost_tokens(arguments.path)
    if removed:
        log.warning("removed %d insert tokens whose part does not exist", removed)
    scratch = (SHARED_MEMORY if SHARED_MEMORY.is_dir() else arguments.path) / f"lpstream-clickhouse-{os.getpid()}"
    try:
        engine = Engine(arguments.path, scratch)
    except RuntimeError as error:
        print(f"clickhouse: cannot open {arguments.path}: {str(error)[:300]}", file=sys.stderr)  # noqa: T201
        return 1
    try:
        asyncio.run(_serve(engine, users, arguments.port))
    finally:
        engine.close()
        shutil.rmtree(scratch, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
