"""What the pages say of connecting each broker, and of how far a trader has come."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries, Settings

from accounts.models import User
from brokers import abilities, connecting, reach, registry
from brokers.base import Broker
from brokers.connecting import Known
from brokers.models import BrokerApp, BrokerConnection, OAuthState
from brokers.secret import Secret

SENTENCE = re.compile(r"[A-Z₹“].*[.!]", re.DOTALL)
every_broker = pytest.mark.parametrize("broker", registry.brokers(), ids=lambda broker: broker.spec.slug)


@every_broker
def test_a_guide_speaks_in_whole_sentences(broker: Broker) -> None:
    guide = broker.spec.guide
    told = [
        guide.app,
        guide.keys,
        guide.proof,
        guide.redirect,
        guide.permissions,
        guide.side_by_side,
        guide.price or "",
    ]
    told += [guide.address_for_reading, *guide.without.values(), connecting.session_words(broker.spec)]
    assert guide.app
    assert guide.keys
    assert guide.proof
    assert [words for words in told if words and not SENTENCE.fullmatch(words)] == []
    assert guide.console is None or guide.console.startswith("https://")
    # A redirect address is entered exactly where there is one to come back to.
    assert bool(guide.redirect) is (broker.spec.callback is not None)


@every_broker
def test_each_ability_is_told_once_and_reasons_are_of_what_is_lacking(broker: Broker) -> None:
    can, cannot = abilities.of(broker)
    assert len(can) + len(cannot) == len(abilities.ABILITIES)
    lacking = {ability.name for ability in abilities.ABILITIES if not ability.has(broker)}
    assert set(broker.spec.guide.without) <= lacking
    reasons = [one.reason for one in cannot if one.reason]
    assert sorted(reasons) == sorted(broker.spec.guide.without.values())


def test_what_is_told_follows_the_spec() -> None:
    can, cannot = abilities.of(registry.load("groww"))
    assert any("GTT" in words for words in can)
    assert next(one for one in cannot if "market orders" in one.words).reason
    can, cannot = abilities.of(registry.load("upstox"))
    assert any("GTT" in one.words for one in cannot)
    assert any("market orders" in words for words in can)


@pytest.mark.parametrize(
    ("slug", "words"),
    [
        ("zerodha", "Every session ends at 06:00 IST. You log in once a day, after that hour."),
        ("angel_one", "Every session ends at midnight IST. Until then it is renewed by itself; then you log in again."),
        ("iifl", "A session lasts 24 hours. The stored keys open the next one by themselves."),
    ],
)
def test_how_long_a_session_lasts(slug: str, words: str) -> None:
    assert connecting.session_words(registry.load(slug).spec) == words


class TestHowFar:
    """The state at a glance."""

    def state(self, user: User, slug: str) -> str:
        lines = connecting.lines(Known.of(user, timezone.now()))
        return next(line.state.text for line in lines if line.slug == slug)

    def app(self, user: User) -> None:
        BrokerApp.objects.create(
            user=user, broker_type="upstox", api_key_encrypted=Secret("key"), api_secret_encrypted=Secret("secret")
        )

    def begun(self, user: User, *, minutes: int) -> None:
        ends = timezone.now() + timedelta(minutes=minutes)
        OAuthState.objects.create(state=f"{user}{minutes}", user=user, broker_type="upstox", expires_at=ends)

    def test_from_nothing_to_connected(self, bob: User) -> None:
        assert self.state(bob, "upstox") == "Not set up"
        self.app(bob)
        assert self.state(bob, "upstox") == "Keys stored"
        self.begun(bob, minutes=-1)
        assert self.state(bob, "upstox") == "Keys stored"
        self.begun(bob, minutes=9)
        assert self.state(bob, "upstox") == "Login begun"
        row = BrokerConnection.objects.create(user=bob, broker_type="upstox", account_id="B1", status="CONNECTED")
        assert self.state(bob, "upstox") == "Connected"
        BrokerConnection.objects.create(user=bob, broker_type="upstox", account_id="B2", status="TOKEN_EXPIRED")
        assert self.state(bob, "upstox") == "Login needed"
        BrokerConnection.objects.filter(pk=row.pk).update(status="SUSPENDED")
        assert self.state(bob, "upstox") == "Blocked by the broker"

    def test_a_disconnected_account_is_none(self, bob: User) -> None:
        BrokerConnection.objects.create(user=bob, broker_type="upstox", account_id="B1", status="DISCONNECTED")
        assert self.state(bob, "upstox") == "Disconnected"

    def test_anothers_are_not_looked_at(self, bob: User, mallory: User) -> None:
        self.app(bob)
        self.begun(bob, minutes=9)
        BrokerConnection.objects.create(user=bob, broker_type="upstox", account_id="B1", status="CONNECTED")
        assert self.state(mallory, "upstox") == "Not set up"

    def test_it_takes_as_many_queries_for_seven_as_for_one(
        self, bob: User, django_assert_num_queries: DjangoAssertNumQueries
    ) -> None:
        for slug in registry.slugs():
            BrokerConnection.objects.create(user=bob, broker_type=slug, account_id="B1", status="CONNECTED")
        with django_assert_num_queries(4):
            known = Known.of(bob, timezone.now())
            connecting.lines(known)
            for slug in registry.slugs():
                connecting.shown(slug, known)


def test_keys_of_the_installation_are_as_good(settings: Settings, bob: User) -> None:
    settings.BROKERS = {**settings.BROKERS, "upstox": {**settings.BROKERS["upstox"], "api_key": "k", "api_secret": "s"}}
    shown = connecting.shown("upstox", Known.of(bob, timezone.now()))
    assert (shown["has_keys"], shown["has_own_keys"]) == (True, False)
    assert shown["redirect_uri"] == reach.own_callback("upstox")


def test_an_unknown_broker_is_none(bob: User) -> None:
    with pytest.raises(registry.UnsupportedBroker):
        connecting.shown("none", Known.of(bob, timezone.now()))
