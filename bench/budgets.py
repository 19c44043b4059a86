"""What the gate costs a call, and whether two processes keep to one budget."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Sequence
from threading import Thread

from django.conf import settings
from redis import Redis

from bench.table import Aim, Figure, of_rounds
from brokers import governor, registry
from brokers.gate import BrokerGate
from brokers.transport import Call, Deadline
from tests.brokers import hammer
from trademaster.local.house import House

ROUNDS = 9
CALLS = 300
HAMMER_SECONDS = 4
PROCESSES = 2


def measure(house: House) -> list[Figure]:
    wall, cpu = [], []
    for number in range(ROUNDS + 1):
        seconds, busy = passages(number)
        if number:  # the first round loads the scripts
            wall.append(seconds * 1000 / CALLS)
            cpu.append(busy * 1000 / CALLS)
    granted, most = hammered(house)
    return [
        of_rounds("gate, enter and leave, per call", wall, "ms", note="circuit and budget; two questions to Redis"),
        of_rounds("  CPU of the caller", cpu, "ms"),
        Figure(
            name="two processes, one budget: most grants in any window ÷ limit",
            value=most,
            unit="×",
            aim=Aim(1.0),
            note=f"{granted} grants in {HAMMER_SECONDS} s",
        ),
    ]


def passages(number: int) -> tuple[float, float]:
    """Seconds, and seconds of CPU, for so many passages; an account each, so that none has to wait."""
    spec = registry.load("upstox").spec
    call = Call("GET", "/v2/user/profile")
    gates = [BrokerGate(spec, f"bench-{number}-{account}") for account in range(CALLS)]
    started, busy = time.perf_counter(), time.thread_time()
    for gate in gates:
        gate.enter(call, Deadline(5)).leave(None, 0.1)
    return time.perf_counter() - started, time.thread_time() - busy


def hammered(house: House) -> tuple[int, float]:
    """How many calls processes of eight threads were granted together, and the fullest window's share of its limit.

    The grants are those that Redis itself was seen to record.
    """
    seen: dict[str, list[int]] = defaultdict(list)
    redis: Redis = Redis.from_url(settings.GOVERNOR_REDIS_URL)
    with redis.monitor() as monitor:
        command = [sys.executable, "-m", "tests.brokers.hammer", str(HAMMER_SECONDS)]
        processes = [
            subprocess.Popen(command, env=house.environment, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            for _ in range(PROCESSES)
        ]
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        watch = Thread(target=hammer.note_grants, args=(monitor.listen(), seen))
        watch.start()
        for process in processes:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        granted = sum(sum(json.loads(process.communicate(timeout=60)[0]).values()) for process in processes)
        redis.echo("the end")
        watch.join(30)
    return granted, max(fullest(seen))


def fullest(seen: dict[str, list[int]]) -> list[float]:
    """Of every window of every class that was hammered: the most grants in it ÷ its limit."""
    return [
        most_within(sorted(seen[plan.logs[log]]), limit.seconds * 1000) / limit.calls
        for slug, rate_class, path in hammer.CLASSES
        for plan in [governor.plan(registry.load(slug).spec, hammer.ACCOUNT, rate_class, path)]
        for log, limit in plan.windows
    ]


def most_within(times: Sequence[int], span: int) -> int:
    """The most of these, in order, that lie less than `span` apart."""
    most, first = 0, 0
    for last, at in enumerate(times):
        while at - times[first] >= span:
            first += 1
        most = max(most, last - first + 1)
    return most
