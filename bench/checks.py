"""Ten thousand connections due at once, against brokers that answer at once: what is left is our own cost.

Workers are real Celery workers, and dispatched to as beat does it. Their brokers answer from memory in the place of the
socket: that leaves out sockets, HTTP, TLS and every wait for a broker, and keeps clients, gate, decoding, mapping, rows
and queue. One figure is over real HTTP, from a small process that answers instantly. Then, of a hundred thousand, the
claims alone.
"""

from __future__ import annotations

import json
import multiprocessing
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from datetime import date, datetime, timedelta
from datetime import time as time_of_day
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import django
from django.db import connection as database
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.models import User
from bench import instant
from bench.claims import claims_alone
from bench.merging import with_memory
from bench.people import crowd
from bench.table import Aim, Figure
from brokers import hours, registry
from brokers.domain import Segment
from brokers.models import BrokerConnection
from brokers.wire import IST
from health import asking, pace, rollups, services, tasks
from health.circuits import Circuits
from health.models import CheckSchedule, CheckType
from trademaster import settings as real
from trademaster.celery import app
from trademaster.local.failure import ServiceFailed
from trademaster.local.house import CELERY, QUIET, House, answers_at, free_port

CONNECTIONS = 10_000
# The same work for one, two and four workers.
PART = 1_500
WORKERS = (1, 2, 4)
# As docs/operations.md starts them.
THREADS = 16
CHUNKS_IN_PROCESS = 20
PATIENCE_SECONDS = 600.0
POLL_SECONDS = 0.1
# A Wednesday on which the exchanges trade.
TRADING_DAY = date(2026, 11, 25)
