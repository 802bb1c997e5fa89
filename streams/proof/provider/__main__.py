"""A simulated model provider as a process: `python -m streams.proof.provider --port 9000`."""

import argparse
import asyncio
import signal

import uvloop

from streams.proof.provider.bill import Prices
from streams.proof.provider.server import Provider, serve


async def main() -> None:
    """Serve until SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--input", type=int, default=23_250_000, help="price in micro-yen per million input tokens")
    parser.add_argument("--output", type=int, default=93_000_000, help="price in micro-yen per million output tokens")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    runner = await serve(Provider(Prices(args.input, args.output), args.seed), args.port)
    await stop.wait()
    await runner.cleanup()


uvloop.run(main())
