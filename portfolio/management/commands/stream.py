"""`manage.py stream`: the brokers' streams and the live books, until SIGTERM. Any number of them share the work."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from django.core.management.base import BaseCommand

from brokers import vault
from portfolio.live_process import LiveProcess

logger = logging.getLogger(__name__)

# They wait for brokers, and for rows.
THREADS = 16
# While the engine's thread counts a large book the event loop, which hears the ticks, gets its turn back this soon.
TURN_SECONDS = 0.001


class Command(BaseCommand):
    help = "Stream prices and orders from the brokers, and move the books of everybody with an open page."

    def handle(self, *args: Any, **options: Any) -> None:
        vault.prove_keys_or_exit()
        sys.setswitchinterval(TURN_SECONDS)
        asyncio.run(_run())


async def _run() -> None:
    loop = asyncio.get_running_loop()
    loop.set_default_executor(ThreadPoolExecutor(THREADS, thread_name_prefix="stream"))
    process = LiveProcess()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, process.stop)
    logger.info("Streaming as %s", process.owner)
    await process.run()
    logger.info("Streams closed, leases given back")
