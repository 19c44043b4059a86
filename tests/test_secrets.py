"""Walk a connection's whole life with every log at DEBUG, then look for the brokers' secrets wherever text is kept.

The logs, every API answer and page, every admin page, the queue of tasks, every row of every table, every key in Redis.
"""

from __future__ import annotations

import base64
import binascii
import json
import logging
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, urlsplit

import pytest
import redis
from django.conf import settings
from django.contrib import admin
from django.contrib.sessions.models import Session
from django.core.cache import cache
from django.db import connection as database
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from accounts.models import User
from brokers import registry, services, tasks
from brokers.models import BrokerConnection
from brokers.simulation.server import SimulatedBrokers
from health import services as health
from health import tasks as health_tasks
from portfolio import services as portfolio
from portfolio import tasks as portfolio_tasks
from portfolio import watching
from tests.conftest import signed_in
from tests.people import form

FAULTS = ("server_error", "malformed_body", "rate_limit", "html_gateway", "drop_connection", "down", "expired_token")
# What is shorter turns up by chance, e.g. six digits within an instant.
SHORTEST_SECRET = 8
WRONG = "wrong {} of Alice, long enough to be found"
LOUD_LOGGERS = ("brokers", "portfolio", "health", "django", "celery", "kombu", "asyncio", "channels_redis")


class Texts(dict[str, str]):
    """Where a secret must not be: a name for the place, and all the text found there."""

    def add(self, place: str, text: object) -> None:
        self[place] = self.get(place, "") + "\n" + (text if isinstance(text, str) else repr(text))

    def places_of(self, secret: str) -> list[str]:
        written = {secret, quote(secret, safe=""), base64.b64encode(secret.encode()).decode().rstrip("=")}
        return [place for place, text in self.items() if any(form in text for form in written)]


class Recorder(Client):
    """A browser that keeps what it is shown; `secret_fields` of an answer are not kept."""

    def __init__(self, texts: Texts, user: User) -> None:
        super().__init__()
        self.texts = texts
        self.force_login(user)

    def filled_in(self, path: str, fields: dict[str, str]) -> Any:
        """Submit a form of ours."""
        answer = self.post(path, data=fields)
        self.texts.add(f"form {urlsplit(path).path}", answer.content.decode() + repr(dict(answer.headers)))
        return answer

    def shown(self, method: str, path: str, body: object = None) -> Any:
        answer = getattr(self, method)(
            path, **({} if body is None else {"data": body, "content_type": "application/json"})
        )
        text = answer.content.decode()
        if path.endswith("connect/initiate") and answer.status_code == 200:
            # The address at the broker holds the key and the state: that is what it is for.
            text = json.dumps({name: value for name, value in answer.json().items()
                               if name not in ("authorization_url", "state")})  # fmt: skip
        self.texts.add(f"{method.upper()} {urlsplit(path).path}", text + repr(dict(answer.headers)))
        return answer


@pytest.mark.parametrize("slug", registry.slugs())
def test_no_secret_is_written_anywhere(
    slug: str, alice: User, root: User, brokers: SimulatedBrokers, caplog: pytest.LogCaptureFixture
) -> None:
    texts = Texts()
    with everything_logged(caplog):
        secrets = walk(slug, Recorder(texts, alice), alice, brokers, texts)
        look_at_the_admin(signed_in(root), texts)
    texts.add(
        "logs", "\n".join(f"{record.getMessage()} {record.__dict__!r} {record.exc_text}" for record in caplog.records)
    )
    texts.add("logs", caplog.text)
    assert f"{slug} " in texts["logs"]  # the brokers were spoken to, and it was logged
    assert len(secrets) >= 6
    found = {name: places for name, secret in secrets.items() if (places := texts.places_of(secret))}
    assert found == {}


def everything_logged(caplog: pytest.LogCaptureFixture) -> Any:
    """As with LOG_LEVEL=DEBUG: what writes whole URLs is held back by its own level in the settings."""
    for name in LOUD_LOGGERS:
        caplog.set_level(logging.DEBUG, logger=name)
    return caplog.at_level(logging.DEBUG)


def walk(slug: str, page: Recorder, user: User, brokers: SimulatedBrokers, texts: Texts) -> dict[str, str]:
    """Connect by every login, read, fail, repair, disconnect; returns every secret that took part, by name."""
    known = brokers.brokers[slug]
    api = "/api/v1/brokers"
    account = brokers.control.book(slug)["account"].values()
    fields = {field.name: known.get(field.name, "") for field in registry.load(slug).spec.app_fields}
    secrets = fields | {
        f"login {name}": value
        for name, value in known["login"].items()
        if len(value) >= SHORTEST_SECRET and value not in account
    }

    refusing, wrong = wrong_app(slug, fields)
    page.shown("put", f"{api}/apps/{slug}", wrong)
    secrets |= {f"wrong {name}": value for name, value in wrong.items()}
    secrets |= attempt(slug, page, brokers, "with a wrong app", method=refusing, by_browser=False)
    assert not BrokerConnection.objects.exists()
    page.shown("put", f"{api}/apps/{slug}", fields)
    for method in forms(slug):
        typed = {name: WRONG.format(f"{method} {name}") for name in asked_by(slug, method)}
        secrets |= typed
        for by_browser in (True, False) if typed else ():
            secrets |= attempt(slug, page, brokers, f"{method} mistyped", method=method, by_browser=by_browser, **typed)
            assert not BrokerConnection.objects.exists()
    for method in ways(slug):
        for by_browser in (True, False):
            name = f"{method or 'redirect'} by {'browser' if by_browser else 'API'}"
            secrets |= attempt(slug, page, brokers, name, method=method, by_browser=by_browser)
            secrets |= token_of(user, name)

    connection = BrokerConnection.objects.get(user=user)
    read_everything(page, user, connection, texts)
    for fault in FAULTS:
        brokers.control.set_fault(slug, fault)
        services.learn(connection, None, timezone.now())
        read_everything(page, user, connection, texts)
        brokers.control.clear_faults(slug)
    secrets |= attempt(slug, page, brokers, "repair", method=ways(slug)[0], by_browser=True)
    secrets |= token_of(user, "repair")
    read_everything(page, user, connection, texts)
    secrets |= posted_to(slug, page, connection, brokers)
    dump_everything(texts, "while connected")
    page.shown("delete", f"{api}/connections/{connection.pk}")
    page.shown("delete", f"{api}/apps/{slug}")
    dump_everything(texts, "afterwards")
    return {name: value for name, value in secrets.items() if value}


def forms(slug: str) -> list[str]:
    return [method.name for method in registry.load(slug).spec.login_methods]


def ways(slug: str) -> list[str | None]:
    """Every login of a broker: None is its redirect."""
    return [*([None] if registry.load(slug).spec.callback else []), *forms(slug)]


def wrong_app(slug: str, fields: dict[str, str]) -> tuple[str | None, dict[str, str]]:
    """A login, and an app with which it is refused: without the right key a broker shows no login page of its own."""
    if ways(slug)[0] is None and "api_secret" in fields:
        return None, {**fields, "api_secret": WRONG.format("api_secret")}
    return forms(slug)[0], {name: WRONG.format(name) for name in fields}


def asked_by(slug: str, method: str) -> list[str]:
    [chosen] = [known for known in registry.load(slug).spec.login_methods if known.name == method]
    return [field.name for field in chosen.fields if field.secret]


def attempt(
    slug: str,
    page: Recorder,
    brokers: SimulatedBrokers,
    name: str,
    *,
    method: str | None,
    by_browser: bool,
    **typed: str,
) -> dict[str, str]:
    """One login, completed twice (the second is refused); returns its state, and what came back or was typed."""
    api = "/api/v1/brokers/connect"
    wanted = {"broker_type": slug} | ({"method": method} if method else {})
    start = page.shown("post", f"{api}/initiate", wanted).json()
    if method:
        fields = {**form(slug, brokers, method), **typed}
        path = f"/brokers/login/{slug}?{urlsplit(start['authorization_url']).query}"
    else:
        callback = brokers.login(slug, start["authorization_url"])
        fields = {key: value for key, value in callback.items() if value != start["state"]}
        path = urlsplit(callback.location)._replace(scheme="", netloc="").geturl()
    for _ in range(2):
        if not by_browser:
            page.shown("post", f"{api}/complete", {"state": start["state"], "callback": fields})
        elif method:
            page.shown("get", path)
            page.filled_in(path, fields)
        else:
            page.shown("get", path)
    page.shown("get", "/connect")  # where a message waits, it is shown
    account = brokers.control.book(slug)["account"].values()
    told = {key: value for key, value in fields.items() if len(value) >= SHORTEST_SECRET and value not in account}
    told.pop("method", None)
    return {f"{name}: state": start["state"], **{f"{name}: {key}": value for key, value in told.items()}}


def token_of(user: User, name: str) -> dict[str, str]:
    session = BrokerConnection.objects.get(user=user).session
    assert session is not None
    tokens = {"access": session.access_token, "refresh": session.refresh_token, "feed": session.feed_token}
    return {f"{name}: {kind}": token.reveal() for kind, token in tokens.items() if token}


def posted_to(slug: str, page: Recorder, connection: BrokerConnection, brokers: SimulatedBrokers) -> dict[str, str]:
    """Give the connection an address for postbacks, and call there in every way; returns what of it is secret."""
    if registry.load(slug).spec.postback is None:
        return {}
    secrets = {}
    for name in ("replaced", "used"):
        made = page.post(f"/api/v1/brokers/connections/{connection.pk}/postback").json()
        secrets[f"postback address, {name}"] = made["address"].rpartition("/")[2]
    page.shown("get", f"/api/v1/brokers/connections/{connection.pk}/postback")
    words = {"what": "a postback said of Alice, long enough to be found"}
    for secret in secrets.values():
        page.post(f"/brokers/postback/{secret}", data=words, content_type="application/json")
        page.get(f"/brokers/postback/{secret}")
        page.get(f"/brokers/postback/{secret}/further")
    tasks.read_postbacks_at(connection.pk, timezone.now())
    return secrets | words


def read_everything(page: Recorder, user: User, connection: BrokerConnection, texts: Texts) -> None:
    """Every answer and page a trader can ask for, a health check, and the tasks of one tick."""
    cache.clear()
    one = f"/api/v1/brokers/connections/{connection.pk}"
    for method, path in [
        ("get", "/api/v1/brokers"),
        ("get", "/api/v1/brokers/connections"),
        ("get", "/api/v1/brokers/portfolio/consolidated"),
        ("get", one),
        ("post", f"{one}/refresh"),
        ("get", "/"),
        ("get", "/connect"),
    ]:
        page.shown(method, path)
    now = timezone.now()
    health.check(connection.pk, now=now)
    portfolio.refresh_quietly(user, now=now)
    texts.add("socket snapshot", portfolio.snapshot_json(user, now=now))
    watching.watch(user.pk)
    BrokerConnection.objects.update(next_health_check_at=now)
    health_tasks.check_due()
    portfolio_tasks.refresh_watched()
    texts.add("repr of the row", connection.__dict__)


def look_at_the_admin(client: Client, texts: Texts) -> None:
    """Every page of every registered model, as somebody who may see everything."""
    for model in admin.site._registry:
        name = f"admin:{model._meta.app_label}_{model._meta.model_name}"
        texts.add(f"{name} list", client.get(reverse(f"{name}_changelist")).content.decode())
        for row in model._default_manager.all()[:2]:
            for action in ("change", "history", "delete"):
                answer = client.get(reverse(f"{name}_{action}", args=[row.pk]))
                texts.add(f"{name} {action}", answer.content.decode())


def dump_everything(texts: Texts, when: str) -> None:
    for table, row in rows():
        texts.add(f"table {table} {when}", row)
    for session in Session.objects.all():
        texts.add(f"session {when}", session.get_decoded())
    for number in range(3):  # the queue, the cache, the channels
        for key, value in keys_of_redis(number):
            texts.add(f"redis {number} {when}", f"{key} {value}")
    assert "celery-task-meta" not in texts.get(f"redis 0 {when}", "")
    assert "health.check_chunk" in texts[f"redis 0 {when}"]  # the queue was looked into


def rows() -> Iterator[tuple[str, str]]:
    """Every row of every table, as PostgreSQL writes it."""
    with database.cursor() as cursor:
        for table in database.introspection.table_names(cursor):
            cursor.execute(f"SELECT t::text FROM {database.ops.quote_name(table)} t")  # noqa: S608 - our own tables
            for (text,) in cursor.fetchall():
                yield table, text


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
                yield key.decode(), f"{value.decode('utf-8', 'replace')} {unwrapped(value)}"


def unwrapped(message: bytes) -> str:
    """The body of a queued task; nothing for other values."""
    try:
        body: str = json.loads(message)["body"]
        return base64.b64decode(body).decode()
    except (ValueError, KeyError, TypeError, binascii.Error):
        return ""


def test_what_would_log_whole_addresses_is_held_back() -> None:
    """Kite's token travels in the query when a session is revoked, and urllib3 writes queries at DEBUG."""
    for name in ("urllib3", "urllib3.connectionpool", "requests"):
        assert logging.getLogger(name).getEffectiveLevel() >= logging.WARNING


def test_a_secret_that_the_broker_repeats_is_cut_out(
    alice: User, brokers: SimulatedBrokers, caplog: pytest.LogCaptureFixture
) -> None:
    known = brokers.brokers["zerodha"]
    texts = Texts()
    page = Recorder(texts, alice)
    page.shown("put", "/api/v1/brokers/apps/zerodha", {name: known[name] for name in ("api_key", "api_secret")})
    start = page.shown("post", "/api/v1/brokers/connect/initiate", {"broker_type": "zerodha"}).json()
    callback = brokers.login("zerodha", start["authorization_url"])
    code = callback["request_token"]
    words = f"bad {code} of {known['api_key']} with {known['api_secret']}"
    reply = {"status": "error", "message": words, "error_type": "InputException", "data": None}
    brokers.control.serve("zerodha", "POST /session/token", reply, status=400)
    parameters = {name: value for name, value in callback.items() if name != "state"}
    body = {"state": start["state"], "callback": parameters}
    with everything_logged(caplog):
        answer = page.shown("post", "/api/v1/brokers/connect/complete", body)
    assert answer.json()["error"]["details"]["broker_reason"] == "bad … of … with …"
    texts.add("logs", caplog.text)
    assert [texts.places_of(secret) for secret in (code, known["api_key"], known["api_secret"])] == [[], [], []]


def test_the_search_finds_what_is_there() -> None:
    """A search that never finds anything would prove nothing."""
    texts = Texts()
    texts.add("plain", "token=s3cr3t/value")
    texts.add("quoted", "token=s3cr3t%2Fvalue")
    texts.add("encoded", base64.b64encode(b"s3cr3t/value").decode())
    assert texts.places_of("s3cr3t/value") == ["plain", "quoted", "encoded"]
