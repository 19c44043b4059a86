"""Walk a connection's whole life with every log at DEBUG, then look for the brokers' secrets wherever text is kept.

The logs, the reports of errors and the debug page, every API answer and page, every admin page, the queue of tasks,
every row of every table, every key in Redis. On the way every step goes wrong: at the broker, on the wire, and in our
own code.
"""

from __future__ import annotations

import importlib
import json
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from io import StringIO
from typing import Any, NoReturn
from urllib.parse import urlsplit

import pytest
import requests
import urllib3
from asgiref.sync import async_to_sync
from django.core.cache import cache
from django.core.management import call_command
from django.db import connection as database
from django.test import Client
from django.utils import timezone

from accounts.models import User
from brokers import reach, registry, services, tasks, transport, vault
from brokers.models import BrokerConnection
from brokers.simulation.server import SimulatedBrokers
from health import services as health
from health import tasks as health_tasks
from market import feed, sockets
from portfolio import services as portfolio
from portfolio import tasks as portfolio_tasks
from portfolio import watching
from tests.conftest import let_in, signed_in
from tests.people import form
from tests.sweeping import (
    SHORTEST_SECRET,
    Texts,
    dump_everything,
    everything_logged,
    look_at_the_admin,
    note_tokens,
)

FAULTS: dict[str, dict[str, object]] = {
    "server_error": {},
    "malformed_body": {},
    "rate_limit": {},
    "html_gateway": {},
    "drop_connection": {},
    "down": {},
    "expired_token": {},
    "latency": {"milliseconds": 400},  # longer than is waited here
}
PATIENCE = 0.2
WRONG = "wrong {} of Alice, long enough to be found"


class Recorder(Client):
    """A browser that keeps what it is shown."""

    def __init__(self, texts: Texts, user: User) -> None:
        super().__init__(raise_request_exception=False)
        self.texts = texts
        self.statuses: list[int] = []
        let_in(self, user)

    def filled_in(self, path: str, fields: dict[str, str]) -> Any:
        """Submit a form of ours."""
        answer = self.post(path, data=fields)
        self.kept(f"form {urlsplit(path).path}", answer, answer.content.decode())
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
        self.kept(f"{method.upper()} {urlsplit(path).path}", answer, text)
        return answer

    def kept(self, place: str, answer: Any, text: str) -> None:
        self.statuses.append(answer.status_code)
        self.texts.add(place, text)
        self.texts.add(place, dict(answer.headers))


@pytest.mark.parametrize("slug", registry.slugs())
def test_no_secret_is_written_anywhere(
    slug: str,
    alice: User,
    root: User,
    brokers: SimulatedBrokers,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    texts = Texts()
    page = Recorder(texts, alice)
    sent = note_tokens(monkeypatch)
    with everything_logged(texts) as reporter:
        secrets = walk(slug, page, alice, root, brokers)
    secrets |= {name: token for token, name in sent.items()}
    found = {
        name: places + texts.variables_with(secret)
        for name, secret in secrets.items()
        if (places := texts.places_of(secret))
    }
    assert found == {}
    searched = {"secrets": len(set(secrets.values())), "places": len(texts.by_place), "characters": texts.characters}
    sys.stdout.write(f"\n{slug}: {searched | {'reports': reporter.reports}}\n")  # shown by -s
    assert searched["secrets"] >= 25
    assert searched["places"] >= 60
    assert searched["characters"] >= 1_000_000
    assert reporter.reports >= 2 * len(traps(slug))
    assert {"brokers.transport", "django.request", "django.db.backends", "urllib3.connectionpool"} <= reporter.loggers
    assert {200, 204, 302, 500} <= set(page.statuses)


def walk(slug: str, page: Recorder, user: User, root: User, brokers: SimulatedBrokers) -> dict[str, str]:
    """Connect by every login, read, fail, repair, disconnect; returns every secret that took part, by name."""
    known, texts = brokers.brokers[slug], page.texts
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
    read_everything(page, user, connection)
    for fault, parameters in FAULTS.items():
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(transport, "TOTAL_SECONDS", PATIENCE)
            if fault in ("server_error", "malformed_body", "drop_connection", "latency"):  # no page of theirs is hit
                secrets |= attempt(
                    slug, page, brokers, fault, method=ways(slug)[0], by_browser=True, fault=(fault, parameters)
                )
            brokers.control.set_fault(slug, fault, **parameters)
            services.learn(connection, None, timezone.now())
            read_everything(page, user, connection)
            brokers.control.clear_faults(slug)
    secrets |= attempt(slug, page, brokers, "repair", method=ways(slug)[0], by_browser=True)
    secrets |= token_of(user, "repair")
    for trap in traps(slug):
        secrets |= trapped(slug, page, user, brokers, trap)
    secrets |= attempt(slug, page, brokers, "again", method=ways(slug)[0], by_browser=True)
    secrets |= token_of(user, "again")
    read_everything(page, user, connection)
    streams(slug, user, brokers, texts)
    with database.cursor() as cursor:  # what nobody can read is told of, and not shown
        cursor.execute("UPDATE broker_connections SET refresh_token_encrypted = access_token_encrypted")
    read_everything(page, user, connection)
    secrets |= attempt(slug, page, brokers, "mended", method=ways(slug)[0], by_browser=True)
    secrets |= token_of(user, "mended")
    secrets |= posted_to(slug, page, connection, brokers)
    look_at_everything(texts, root)
    page.shown("delete", f"{api}/connections/{connection.pk}")
    page.shown("delete", f"{api}/apps/{slug}")
    look_at_everything(texts, root)
    return {name: value for name, value in secrets.items() if value}


def look_at_everything(texts: Texts, root: User) -> None:
    dump_everything(texts)
    assert any("health.check_chunk" in text for text in texts.by_place["redis 0"])  # the queue was looked into
    assert not any("celery-task-meta" in text for text in texts.by_place["redis 0"])
    assert look_at_the_admin(signed_in(root), texts) > 20
    fixtures, chosen = StringIO(), StringIO()
    call_command("dumpdata", stdout=fixtures)
    texts.add("dumpdata", fixtures.getvalue())
    call_command("diffsettings", all=True, stdout=chosen)
    texts.add("diffsettings", chosen.getvalue())


class Broken(Exception):
    """What nobody foresaw."""


def traps(slug: str) -> list[tuple[Any, str]]:
    """Where our code, or a library's, breaks while it holds secrets: an object, and the name of its function."""
    mapping = importlib.import_module(f"brokers.{slug}.mapping")
    places = [(mapping, name) for name in ("session", "profile", "data", "market_token") if hasattr(mapping, name)]
    return [
        *places,
        (requests.adapters.HTTPAdapter, "send"),
        (urllib3.connectionpool.HTTPConnectionPool, "_make_request"),
        (transport, "_redacted"),
        (BrokerConnection, "begin_session"),
        (vault, "encrypt"),
    ]


@contextmanager
def breaking(owner: Any, name: str) -> Iterator[list[str]]:
    """`name` of `owner` raises, whatever it is given; the list grows with each time."""
    fallen: list[str] = []

    def trap(*args: object, **kwargs: object) -> NoReturn:
        fallen.append(name)
        raise Broken(f"{name} of {getattr(owner, '__name__', owner)} broke")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(owner, name, trap)
        yield fallen


def trapped(slug: str, page: Recorder, user: User, brokers: SimulatedBrokers, trap: tuple[Any, str]) -> dict[str, str]:
    """Log in, read, renew and disconnect while it breaks; what was disconnected all the same is connected again."""
    secrets: dict[str, str] = {}
    connection = BrokerConnection.objects.get(user=user)
    path = f"/api/v1/brokers/connections/{connection.pk}"
    if trap[1] == "_redacted":
        brokers.control.set_fault(slug, "server_error")
    known = brokers.brokers[slug]
    fields = {field.name: known.get(field.name, "") for field in registry.load(slug).spec.app_fields}
    for by_browser in (True, False):
        started = attempt(slug, page, brokers, f"{trap[1]} {by_browser}", method=ways(slug)[0], by_browser=by_browser,
                          trap=trap)  # fmt: skip
        secrets |= started
    with breaking(*trap) as fallen:
        page.shown("put", f"/api/v1/brokers/apps/{slug}", fields)
        page.shown("post", f"{path}/refresh")
        page.shown("get", "/api/v1/brokers/portfolio/consolidated")
        page.shown("delete", path)
    brokers.control.clear_faults(slug)
    secrets |= {f"{trap[1]} {len(fallen)}": ""}
    secrets |= attempt(slug, page, brokers, f"after {trap[1]}", method=ways(slug)[0], by_browser=True)
    return secrets | token_of(user, f"after {trap[1]}")


def streams(slug: str, user: User, brokers: SimulatedBrokers, texts: Texts) -> None:
    """Open its streams, where it has some; then again while the library breaks."""
    broker = registry.load(slug)
    session = BrokerConnection.objects.get(user=user).session
    assert session is not None
    for kind in filter(None, (broker.price_stream, broker.order_stream)):
        stream = kind(reach.app_credentials(user, slug), session)
        opening = stream.opening(reach.transport_to(broker, account="test"), str(brokers.brokers[slug]["stream_url"]))
        texts.add("streams", opening)
        async_to_sync(opened_and_closed)(opening, stream)
        with breaking(sockets._Straight, "open_tcp_connection"):
            async_to_sync(opened_and_closed)(opening, stream)
        brokers.control.set_fault(slug, "stream_down")
        async_to_sync(opened_and_closed)(opening, stream)
        brokers.control.clear_faults(slug)


async def opened_and_closed(opening: Any, stream: Any) -> None:
    logger = logging.getLogger("tests.streams")
    try:
        socket = await sockets.opened(opening, stream)
    except Exception:
        logger.exception("It could not be opened")
        return
    await feed._say(socket, stream.hello())
    await socket.close()
    try:
        await feed._say(socket, stream.hello() or ["token"])
    except Exception:
        logger.exception("It was closed")


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
    fault: tuple[str, dict[str, object]] | None = None,
    trap: tuple[Any, str] | None = None,
    **typed: str,
) -> dict[str, str]:
    """One login, completed twice (the second is refused); returns its state, and what came back or was typed.

    Only its completion meets the `fault` or the `trap`.
    """
    api = "/api/v1/brokers/connect"
    cache.clear()  # more logins than a minute allows
    wanted = {"broker_type": slug} | ({"method": method} if method else {})
    start = page.shown("post", f"{api}/initiate", wanted).json()
    assert "state" in start, start
    if method:
        fields = {**form(slug, brokers, method), **typed}
        path = f"/brokers/login/{slug}?{urlsplit(start['authorization_url']).query}"
    else:
        callback = brokers.login(slug, start["authorization_url"])
        fields = {key: value for key, value in callback.items() if value != start["state"]}
        path = urlsplit(callback.location)._replace(scheme="", netloc="").geturl()
    if fault:
        brokers.control.set_fault(slug, fault[0], **fault[1])
    with breaking(*trap) if trap else nullcontext():
        for _ in range(2):
            if not by_browser:
                page.shown("post", f"{api}/complete", {"state": start["state"], "callback": fields})
            elif method:
                page.shown("get", path)
                page.filled_in(path, fields)
            else:
                page.shown("get", path)
    if fault:
        brokers.control.clear_faults(slug)
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


def read_everything(page: Recorder, user: User, connection: BrokerConnection) -> None:
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
    page.texts.add("socket snapshot", portfolio.snapshot_json(user, now=now))
    watching.watch(user.pk)
    BrokerConnection.objects.update(next_health_check_at=now)
    health_tasks.check_due()
    portfolio_tasks.refresh_watched()
    page.texts.add("repr of the row", connection.__dict__)


def test_what_would_log_whole_addresses_is_held_back() -> None:
    """Kite's token travels in the query when a session is revoked, and urllib3 writes queries at DEBUG."""
    for name in ("urllib3", "urllib3.connectionpool", "requests"):
        assert logging.getLogger(name).getEffectiveLevel() >= logging.WARNING


def test_a_secret_that_the_broker_repeats_is_cut_out(alice: User, brokers: SimulatedBrokers) -> None:
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
    with everything_logged(texts):
        answer = page.shown("post", "/api/v1/brokers/connect/complete", body)
    assert answer.json()["error"]["details"]["broker_reason"] == "bad … of … with …"
    assert [texts.places_of(secret) for secret in (code, known["api_key"], known["api_secret"])] == [[], [], []]
