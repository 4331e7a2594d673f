"""The agent's container runs this: ``python -m kdev.agent``.

As the first process of its own process namespace it is sent no signal that it has no handler for, SIGTERM included.
"""

import asyncio
import logging
import os
import signal
import sys

import uvloop

from kdev.agent import settings
from kdev.agent.serving import serve
from kdev.errors import ExitCode, Failure


def main() -> int:
    """Serve one session; the exit code is ``ExitCode``."""
    logging.basicConfig(format="%(asctime)s %(name)s %(levelname)s %(message)s", level=logging.INFO, stream=sys.stderr)
    log = logging.getLogger("kdev.agent")
    try:
        reason = uvloop.run(_main(settings.read(os.environ)))
    except Failure as failure:
        log.error("%s", failure)  # noqa: TRY400 - the failure explains itself; a trace would hide that
        return failure.exit_code
    log.info("ended: %s", reason)
    return ExitCode.OK


async def _main(told: settings.Settings) -> str:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    return await serve(told, stop)


if __name__ == "__main__":
    sys.exit(main())
