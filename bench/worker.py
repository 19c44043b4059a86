"""The worker as in production, but that its brokers answer from memory: `celery -A bench.worker`."""

from __future__ import annotations

import json
import os
from pathlib import Path

from bench import instant
from trademaster.celery import app

__all__ = ["app"]

# For as long as the process lives.
instant.from_memory(json.loads(Path(os.environ["BENCH_REPLIES"]).read_text())).__enter__()
