"""What each broker posts, and how it is read: published payloads first, then what the simulated brokers post."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path

import pytest
import requests
from pytest_django.live_server_helper import LiveServer

from accounts.models import User
from brokers import postbacks, registry, tasks
from brokers.domain import AppCredentials, Postback
from brokers.errors import UnexpectedResponse
from brokers.postback_models import Outcome, Verified
from brokers.secret import Secret
from brokers.simulation.control import Control
from brokers.simulation.server import SimulatedBrokers
from tests.brokers.posting import NOW, NOWHERE, POSTING, SILENT, generation, outcomes, path_of
from tests.contract.recorded import cases, payload
from tests.people import connect

FIXTURES = Path(__file__).parents[1] / "fixtures"
PUBLISHED = {
    "zerodha": ("postback/postback_update_checksum.json", "220303000308932", "AB1234", True),
    "angel_one": ("postback/postback_order.json", "111111111111111", "DUMMY123", None),
    "upstox": ("stream/webhook_order.json", "240221025997024", "******", None),
    "fyers": ("postback/postback_order.json", "23071800238607", "xxxx", None),
}


def app(secret: str = "test_api_secret") -> AppCredentials:
    return AppCredentials(api_key=Secret("key"), api_secret=Secret(secret))


def read(slug: str, body: bytes, credentials: AppCredentials | None = None) -> Postback:
    reader = registry.load(slug).read_postback
    assert reader is not None
    return reader(body, {}, credentials or app())


def recorded(slug: str, file: str) -> bytes:
    return (FIXTURES / slug / file).read_bytes()


def altered(body: bytes, **fields: object) -> bytes:
    return json.dumps({**json.loads(body), **fields}).encode()


class TestDialects:
    def test_whoever_has_them_reads_them_and_the_others_do_not(self) -> None:
        readers = {broker.spec.slug for broker in registry.brokers() if broker.read_postback}
        assert readers == set(POSTING) == set(PUBLISHED)

    @pytest.mark.parametrize("slug", POSTING)
    def test_published_payloads_are_read(self, slug: str) -> None:
        file, order_id, account_id, is_genuine = PUBLISHED[slug]
        expected = Postback(broker_order_id=order_id, account_id=account_id, is_genuine=is_genuine)
        assert read(slug, recorded(slug, file)) == expected

    @pytest.mark.parametrize("slug", POSTING)
    def test_only_a_signature_says_that_it_is_genuine(self, slug: str) -> None:
        spec = registry.load(slug).spec.postback
        assert spec is not None
        assert spec.is_signed == (PUBLISHED[slug][3] is not None)

    def test_the_published_checksum_is_not_ours_to_make(self) -> None:
        assert read("zerodha", recorded("zerodha", "postback/postback.json")).is_genuine is False

    @pytest.mark.parametrize("changed", ["order_id", "order_timestamp", "checksum"])
    def test_a_checksum_covers_order_and_time(self, changed: str) -> None:
        body = recorded("zerodha", PUBLISHED["zerodha"][0])
        assert read("zerodha", altered(body, **{changed: "240101000000001"})).is_genuine is False

    def test_a_checksum_without_a_secret_proves_nothing(self) -> None:
        body = recorded("zerodha", PUBLISHED["zerodha"][0])
        row = json.loads(body)
        made_up = sha256(f"{row['order_id']}{row['order_timestamp']}".encode()).hexdigest()
        assert read("zerodha", altered(body, checksum=made_up), app("")).is_genuine is False

    def test_a_gtt_is_no_order(self) -> None:
        assert read("upstox", recorded("upstox", "stream/webhook_gtt_order.json")).broker_order_id is None

    def test_the_older_webhook_is_an_order(self) -> None:
        assert read("upstox", recorded("upstox", "stream/webhook_order_2023.json")).broker_order_id == "230822025708869"

    def test_a_token_posted_to_the_wrong_address_is_not_read(self) -> None:
        body = b'{"client_id": "c", "user_id": "U1", "access_token": "t0ken", "message_type": "access_token"}'
        assert read("upstox", body) == Postback(broker_order_id=None, account_id="U1")

    @pytest.mark.parametrize("slug", POSTING)
    @pytest.mark.parametrize(
        "body",
        [b"", b"\xff\xfe", b"order_id=1", b"[]", b"7", b"null", b"{}", b"[" * 9000, b'{"order_id": {}, "id": []}'],
    )
    def test_anything_else_is_unreadable(self, slug: str, body: bytes) -> None:
        with pytest.raises(UnexpectedResponse):
            read(slug, body)

    @pytest.mark.parametrize("slug", POSTING)
    @pytest.mark.parametrize("order_id", ["", "\x00", "1" * 65, "1\n2", "१२३", "\ud800", None, True, 1.5])
    def test_an_id_that_no_broker_gives_is_unreadable(self, slug: str, order_id: object) -> None:
        body = recorded(slug, PUBLISHED[slug][0])
        fields = dict.fromkeys(("order_id", "orderid", "id"), order_id)
        with pytest.raises(UnexpectedResponse):
            read(slug, altered(body, **fields))


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("slug", POSTING)
def test_every_simulated_broker_posts_as_the_real_one(
    slug: str, alice: User, brokers: SimulatedBrokers, live_server: LiveServer, caplog: pytest.LogCaptureFixture
) -> None:
    """Over real HTTP: genuine, of an order nowhere, of another account, forged; then the book is read."""
    control, connection = brokers.control, connect(alice, slug, brokers)
    [(call, file)] = cases(slug).call("orders").replies.items()
    control.serve(slug, call, payload(slug, file))
    known = postbacks._orders_of(connection, NOW).items[0].broker_order_id
    path = path_of(connection)
    with caplog.at_level(logging.DEBUG):
        told: list[Mapping[str, str]] = [
            {"order_id": known},
            {"order_id": NOWHERE},
            {"order_id": known, "account_id": "ZZ9999"},
            {"order_id": known, "secret": "another"},
        ]
        assert [control.postback(slug, live_server.url + path, **each) for each in told] == [200] * 4
        assert control.postback(slug, f"{live_server.url}{path}x") == 404
        control.reset_counters()
        before = generation(alice)
        tasks.read_postbacks(str(connection.pk))
    is_signed = PUBLISHED[slug][3] is not None
    right, wrong = (Verified.YES, Verified.NO) if is_signed else (Verified.NONE, Verified.NONE)
    assert outcomes() == [
        (right, Outcome.CONFIRMED),
        (right, Outcome.NOT_IN_BOOK),
        (right, Outcome.OTHER_ACCOUNT),
        (wrong, Outcome.BAD_SIGNATURE if is_signed else Outcome.CONFIRMED),
    ]
    assert control.counters(slug)[call] == 1
    assert generation(alice) == before + 1
    assert path.rpartition("/")[2] not in caplog.text


@pytest.mark.parametrize("slug", SILENT)
def test_the_other_simulated_brokers_post_nothing(slug: str, control: Control) -> None:
    with pytest.raises(requests.HTTPError, match="posts nothing"):
        control.postback(slug, "http://127.0.0.1:9/")


def test_simulated_brokers_post_to_this_machine_alone(control: Control) -> None:
    with pytest.raises(requests.HTTPError, match="this machine alone"):
        control.postback("zerodha", "https://portfolio.example.in/brokers/postback/x")
