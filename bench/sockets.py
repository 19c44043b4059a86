"""Watching clients of one web process: what each costs in memory, and how many deltas a second reach them.

Every client is a trader of their own, as in life, so that every delta is a message of its own through Redis. In turn
with it a bare `websockets` server broadcasts the same text to as many clients, which needs no Redis and no session.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from urllib.parse import urlsplit

from django.contrib.auth import get_user_model
from django.test import Client

from bench import live
from bench.table import Figure, of_rounds
from brokers.push import channels, group_of
from brokers.shared import redis
from portfolio.asking import HOST, WANTED
from portfolio.live import LiveBooks
from portfolio.presentation import present
from trademaster.local.house import House, free_port

CLIENTS = 300
DELTAS = 10  # a round, to everybody
ROUNDS = 7
MINUTES = 10


def measure(house: House) -> list[Figure]:
    return measured(house, CLIENTS)


def measured(house: House, clients: int) -> list[Figure]:
    user_ids, sessions = traders(clients)
    book = LiveBooks({live.instrument(number): live.isin(number) for number in range(live.SHARES)})
    held = book.hold(1, [live.source(1, part, random.Random(5)) for part in range(2)])  # noqa: S311 - no secret
    snapshot = {"book": "bench", "number": 0, "portfolio": present(held.portfolio(live.NOW)), "series": None}
    held.changes(live.NOW)
    for share in range(live.ROWS // 10):
        book.apply(live.instrument(share), live.price(950 + share, 1))
    delta = present(held.changes(live.NOW))
    size = len(json.dumps(delta))
    web = house.processes["web"].pid
    port = urlsplit(house.url).port
    assert port is not None
    bare_port = free_port()
    with host(user_ids, json.dumps(snapshot)), broadcaster(bare_port) as bare:
        before = resident(web)
        with readers(port, sessions) as ours, readers(bare_port, sessions) as theirs:
            memory = (resident(web) - before) / clients / 1000
            speeds, bare_speeds = [], []
            for number in range(ROUNDS):
                first = number * DELTAS + 1
                texts = [
                    json.dumps({"book": "bench", "number": first + each, "delta": delta}) for each in range(DELTAS)
                ]
                for is_ours in (True, False) if number % 2 else (False, True):
                    reading = ours if is_ours else theirs
                    expect(reading, clients * DELTAS)
                    started = time.perf_counter()
                    if is_ours:
                        asyncio.run(push(user_ids, texts))
                    else:
                        tell(bare, [enveloped(text) for text in texts])
                    await_word(reading, "read")
                    speed = clients * DELTAS / (time.perf_counter() - started)
                    (speeds if is_ours else bare_speeds).append(speed)
    return [
        Figure(
            name="memory of one watching client",
            value=memory,
            unit="kB",
            note=f"of the web process, {clients} held at once, each a trader of its own",
        ),
        of_rounds("deltas delivered by one web process", speeds, "/s", note=f"{size / 1000:.0f} kB each, over Redis"),
        of_rounds("  bare `websockets` broadcast of the same text", bare_speeds, "/s"),
        of_rounds("  ratio", [one / other for one, other in zip(speeds, bare_speeds, strict=True)], "×"),
    ]


def traders(count: int) -> tuple[list[int], list[str]]:
    """Users without brokers, whom no real host serves, and a session of each."""
    user_ids, sessions = [], []
    for number in range(count):
        user, _ = get_user_model().objects.get_or_create(username=f"watcher-{number}")
        client = Client()
        client.force_login(user)
        user_ids.append(user.pk)
        sessions.append(client.cookies["sessionid"].value)
    return user_ids, sessions


async def push(user_ids: Sequence[int], texts: Sequence[str]) -> None:
    layer = channels()
    for text in texts:
        message = {"type": "push", "kind": "PORTFOLIO_DELTA", "key": "", "data": text}
        await asyncio.gather(*(layer.group_send(group_of(user_id), message) for user_id in user_ids))


@contextmanager
def host(user_ids: Sequence[int], snapshot: str) -> Iterator[None]:
    """Answers for these users, as a live host does."""
    asked = redis().pubsub()
    asked.subscribe(WANTED)
    for user_id in user_ids:
        redis().set(HOST.format(user_id=user_id), "bench", ex=60 * MINUTES)

    async def answer(user_id: int) -> None:
        message = {"type": "push", "kind": "PORTFOLIO_SNAPSHOT", "key": "", "data": snapshot}
        await channels().group_send(group_of(user_id), message)

    def serve() -> None:
        known = {str(user_id).encode() for user_id in user_ids}
        for message in asked.listen():
            if message["data"] == b"end":
                return
            if message["data"] in known:
                asyncio.run(answer(int(message["data"])))

    thread = Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield
    finally:
        redis().publish(WANTED, "end")
        thread.join(5)
        redis().delete(*(HOST.format(user_id=user_id) for user_id in user_ids))


@contextmanager
def broadcaster(port: int) -> Iterator[subprocess.Popen[str]]:
    with process("bench.broadcast", port) as bare:
        await_word(bare, "ready")
        yield bare


@contextmanager
def readers(port: int, sessions: Sequence[str]) -> Iterator[subprocess.Popen[str]]:
    with process("bench.socket_readers", port) as reading:
        tell(reading, [json.dumps(sessions)])
        await_word(reading, "open")
        yield reading


@contextmanager
def process(module: str, port: int) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", module, str(port)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as running:
        try:
            yield running
        finally:
            running.kill()


def expect(reading: subprocess.Popen[str], messages: int) -> None:
    tell(reading, [str(messages)])
    await_word(reading, "expecting")


def tell(running: subprocess.Popen[str], lines: Sequence[str]) -> None:
    assert running.stdin is not None
    running.stdin.writelines(f"{line}\n" for line in lines)
    running.stdin.flush()


def await_word(running: subprocess.Popen[str], word: str) -> None:
    assert running.stdout is not None
    assert running.stdout.readline().strip() == word


def enveloped(text: str) -> str:
    return f'{{"type":"PORTFOLIO_DELTA","data":{text},"timestamp":"2026-11-23T05:00:00.000Z","sequence":1}}'


def resident(pid: int) -> int:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")
