"""What the search for secrets needs: the places where text is kept, every way in which a secret may be written there,
and an error reporter that is as curious as those one can buy.
"""

from __future__ import annotations

import base64
import binascii
import json
import logging
import sys
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any
from urllib.parse import quote, quote_plus, urlsplit

import pytest
import redis
from django.conf import settings
from django.contrib import admin
from django.contrib.sessions.models import Session
from django.core.signals import got_request_exception
from django.db import connection as database
from django.db.models import QuerySet
from django.test import Client
from django.urls import reverse
from django.views.debug import ExceptionReporter

from brokers.transport import Transport

# What is shorter turns up by chance, e.g. six digits within an instant.
SHORTEST_SECRET = 8


class Texts:
    """Where a secret must not be: by the name of a place, all the text found there, each piece once."""

    def __init__(self) -> None:
        self.by_place: dict[str, set[str]] = defaultdict(set)

    def add(self, place: str, text: object) -> None:
        self.by_place[place].add(text if isinstance(text, str) else repr(text))

    def places_of(self, secret: str) -> list[str]:
        written = forms_of(secret)
        return sorted(
            place for place, texts in self.by_place.items() if any(form in text for text in texts for form in written)
        )

    def variables_with(self, secret: str) -> list[str]:
        """Where to mend: the functions and variables of error reports that show it."""
        found = {text.partition(" = ")[0] for text in self.by_place["error reports"] if secret in text}
        return sorted(name for name in found if secret not in name)

    @property
    def characters(self) -> int:
        return sum(len(text) for texts in self.by_place.values() for text in texts)


def forms_of(secret: str) -> set[str]:
    """A secret as it is, quoted, in hexadecimal digits, and within base64 wherever in a longer text it may begin."""
    raw = secret.encode()
    written = {secret, quote(secret, safe=""), quote_plus(secret), raw.hex(), json.dumps(secret)[1:-1]}
    for before in range(3):
        padded = bytes(before) + raw
        # Characters that also hold bits of what stands before or after the secret are not its own.
        first, last = -(-8 * before // 6), 8 * len(padded) // 6
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            written.add(encode(padded).decode()[first:last])
    return written


# --- an error reporter ------------------------------------------------------------------------------------------------
def variables_of(error: BaseException | None) -> Iterator[str]:
    """Every variable of every frame that an error came through, and of those it was raised from, suppressed or not."""
    seen: set[int] = set()
    waiting = [error]
    while waiting:
        found = waiting.pop()
        if found is None or id(found) in seen:
            continue
        seen.add(id(found))
        waiting += [found.__cause__, found.__context__]
        yield from (repr(found), repr(found.args), *getattr(found, "__notes__", ()))
        for trace in every(found.__traceback__):
            for name, value in trace.tb_frame.f_locals.items():
                yield f"{trace.tb_frame.f_code.co_qualname} {name} = {shown(value)}"


def every(trace: TracebackType | None) -> Iterator[TracebackType]:
    while trace is not None:
        yield trace
        trace = trace.tb_next


def shown(value: object) -> str:
    if isinstance(value, QuerySet):  # it would ask the database
        return "<QuerySet>"
    try:
        return repr(value)
    except Exception as error:  # a reporter must survive what it reports
        return f"<{type(error).__name__}>"


class Reporter(logging.Handler):
    """Takes every record of every logger, and reports what is logged as an error with all variables."""

    def __init__(self, texts: Texts) -> None:
        super().__init__(logging.DEBUG)
        self.texts = texts
        self.reports = 0
        self.loggers: set[str] = set()
        self.pages: set[object] = set()
        self.setFormatter(logging.Formatter("%(name)s %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        self.loggers.add(record.name)
        self.texts.add("logs", f"{self.format(record)} {record.args!r}")
        if request := getattr(record, "request", None):
            self.texts.add("logs", repr(request))
        if record.exc_info:
            self.report(record.exc_info[1])

    def report(self, error: BaseException | None) -> None:
        self.reports += 1
        for variable in variables_of(error):
            self.texts.add("error reports", variable)

    def failed(self, sender: object, request: Any = None, **kwargs: object) -> None:
        """A view raised what nobody foresaw: also what Django's own debug page would show of it."""
        kind, error, trace = sys.exc_info()
        self.report(error)
        case = (kind, request.path, trace and [frame.tb_lineno for frame in every(trace)][-1])
        if case in self.pages:
            return
        self.pages.add(case)
        page = ExceptionReporter(request, kind, error, trace)
        self.texts.add("debug page", page.get_traceback_html())
        self.texts.add("debug page", page.get_traceback_text())


@contextmanager
def everything_logged(texts: Texts) -> Iterator[Reporter]:
    """Every logger there is at DEBUG, those of libraries and those that settings hold back too; and every query."""
    reporter, root = Reporter(texts), logging.getLogger()
    loggers = [root, *(each for each in logging.Logger.manager.loggerDict.values() if isinstance(each, logging.Logger))]
    levels = {logger: (logger.level, logger.disabled, logger.propagate) for logger in loggers}
    for logger in loggers:
        logger.disabled, logger.propagate = False, True
        logger.setLevel(logging.DEBUG)
    root.addHandler(reporter)
    got_request_exception.connect(reporter.failed)
    database.force_debug_cursor = True
    try:
        yield reporter
    finally:
        database.force_debug_cursor = False
        got_request_exception.disconnect(reporter.failed)
        root.removeHandler(reporter)
        for logger, (level, disabled, propagate) in levels.items():
            logger.disabled, logger.propagate = disabled, propagate
            logger.setLevel(level)


def note_tokens(patch: pytest.MonkeyPatch) -> dict[str, str]:
    """Every token that a broker sends from now on, whatever becomes of it; filled as they come."""
    found: dict[str, str] = {}
    read = Transport._read

    def noting(self: Transport, status: int, headers: Any, raw: bytes, **kwargs: Any) -> Any:
        body = read(self, status, headers, raw, **kwargs)
        for name, value in leaves(body):
            if ("token" in name.lower() or name == "userSession") and len(value) >= 2 * SHORTEST_SECRET:
                found.setdefault(value, f"sent {name} {len(found)}")
        return body

    patch.setattr(Transport, "_read", noting)
    return found


def leaves(body: object, name: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(body, dict):
        for key, value in body.items():
            yield from leaves(value, str(key))
    elif isinstance(body, str):
        yield name, body


# --- what is kept -----------------------------------------------------------------------------------------------------
def look_at_the_admin(client: Client, texts: Texts) -> int:
    """Every page of every registered model, as somebody who may see everything. Returns how many answered."""
    pages = 0
    for model in admin.site._registry:
        name = f"admin:{model._meta.app_label}_{model._meta.model_name}"
        addresses = [reverse(f"{name}_changelist")]
        for row in model._default_manager.all()[:2]:
            addresses += [reverse(f"{name}_{action}", args=[row.pk]) for action in ("change", "history", "delete")]
        for address in addresses:
            answer = client.get(address)
            pages += answer.status_code == 200
            texts.add(f"admin {model._meta.label}", answer.content.decode())
    return pages


def dump_everything(texts: Texts) -> None:
    """Every row of every table, every browser's session, and every key and value of every database of Redis."""
    for table, row in rows():
        texts.add(f"table {table}", row)
    for session in Session.objects.all():
        texts.add("sessions", session.get_decoded())
    for number in range(databases_of_redis()):
        for key, value in keys_of_redis(number):
            texts.add(f"redis {number}", f"{key} {value}")


def rows() -> Iterator[tuple[str, str]]:
    """As PostgreSQL writes them, `bytea` in hexadecimal digits."""
    with database.cursor() as cursor:
        for table in database.introspection.table_names(cursor):
            cursor.execute(f"SELECT t::text FROM {database.ops.quote_name(table)} t")  # noqa: S608 - our own tables
            for (text,) in cursor.fetchall():
                yield table, text


def databases_of_redis() -> int:
    with redis.Redis.from_url(settings.REDIS_URL) as client:
        return int(client.config_get("databases")["databases"])


def keys_of_redis(number: int) -> Iterator[tuple[str, str]]:
    """Every key and value, and what base64 hides in messages."""
    url = urlsplit(settings.REDIS_URL)._replace(path=f"/{number}").geturl()
    with redis.Redis.from_url(url) as client:
        readers = {
            b"string": lambda key: [client.get(key)],
            b"list": lambda key: client.lrange(key, 0, -1),
            b"zset": lambda key: client.zrange(key, 0, -1),
            b"set": client.smembers,
            b"hash": lambda key: [*client.hkeys(key), *client.hvals(key)],
        }
        for key in client.scan_iter():
            for value in readers[client.type(key)](key):
                if value is not None:  # it may have expired meanwhile
                    yield key.decode(), f"{value.decode('utf-8', 'replace')} {unwrapped(value)}"


def unwrapped(message: bytes) -> str:
    """The body of a queued task; nothing for other values."""
    try:
        body: str = json.loads(message)["body"]
        return base64.b64decode(body).decode()
    except (ValueError, KeyError, TypeError, binascii.Error):
        return ""
