"""Daily prices over HTTP: of what the asker holds, page by page."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from typing import Any

import msgspec
import pytest
from django.test import Client
from django.utils import timezone

from accounts.models import User
from brokers.domain import BrokerPortfolio, ConnectionStatus, Contract, Exchange
from brokers.models import BrokerConnection
from market.candle_models import CandleFill, DailyCandle
from market.candles import want
from market.models import Instrument
from portfolio.models import BrokerSnapshot
from tests.market.candle_teller import DAY, INFY, RELIANCE, listed, weekdays
from tests.market.test_histories import held
from tests.portfolio.test_risk_history import holding, position

CANDLES = "/api/v1/market/candles"
Holds = Callable[[str, str | Contract], None]

pytestmark = pytest.mark.django_db


@pytest.fixture
def holds(alice: User, bob: User) -> Holds:
    """Another account of a person's, whose last answer holds one thing."""
    people = {"alice": alice, "bob": bob}

    def hold(name: str, what: str | Contract) -> None:
        user, now = people[name], timezone.now()
        account = f"{name}{user.broker_connections.count()}"
        connection = BrokerConnection.objects.create(user=user, broker_type="zerodha", account_id=account)
        book = BrokerPortfolio(
            as_of=now,
            holdings=(holding(what),) if isinstance(what, str) else (),
            positions=(position(contract=what),) if isinstance(what, Contract) else (),
        )
        BrokerSnapshot.objects.create(connection=connection, payload=msgspec.json.encode(book).decode(), as_of=now)

    return hold


class TestThePage:
    @pytest.fixture
    def share(self, holds: Holds) -> Instrument:
        share = listed("RELIANCE", "2885", RELIANCE)
        holds("alice", RELIANCE)
        want([share.pk], now=timezone.now())
        days = weekdays(timezone.localdate() - 13 * DAY, timezone.localdate() - DAY)
        held(share, days, volumes={days[-1]: None})
        CandleFill.objects.filter(pk=share.pk).update(day_count=len(days), state="FILLED")
        return share

    def test_a_year_of_it_in_texts(self, as_alice: Client, share: Instrument) -> None:
        answer = as_alice.get(CANDLES, {"instrument": share.pk}).json()
        assert (answer["instrument"], answer["kept_at"]) == (share.pk, share.pk)
        assert (answer["state"], answer["next"]) == ("FILLED", None)
        last = DailyCandle.objects.latest("day").day
        assert answer["candles"][-1] == {
            "day": last.isoformat(),
            **dict.fromkeys(("open", "high", "low", "close"), str(last.day * 100)),
            "volume": None,
            "broker_type": "zerodha",
            "suspected_split": False,
            "disputed": False,
        }
        days = [each["day"] for each in answer["candles"]]
        assert days == sorted(days)

    def test_page_by_page(self, as_alice: Client, share: Instrument) -> None:
        seen: list[str] = []
        query: dict[str, Any] = {"instrument": share.pk, "limit": 4}
        while True:
            page = as_alice.get(CANDLES, query).json()
            seen += [each["day"] for each in page["candles"]]
            if page["next"] is None:
                break
            query["from"] = page["next"]
        every = DailyCandle.objects.order_by("day").values_list("day", flat=True)
        assert seen == [day.isoformat() for day in every]

    def test_between_two_days(self, as_alice: Client, share: Instrument) -> None:
        days = list(DailyCandle.objects.order_by("day").values_list("day", flat=True))
        answer = as_alice.get(CANDLES, {"instrument": share.pk, "from": days[2], "to": days[4]}).json()
        assert [each["day"] for each in answer["candles"]] == [day.isoformat() for day in days[2:5]]

    def test_the_other_listing_leads_to_the_shares_one_history(self, as_alice: Client, share: Instrument) -> None:
        other = listed("RELIANCE", "500325", RELIANCE, exchange=Exchange.BSE)
        answer = as_alice.get(CANDLES, {"instrument": other.pk}).json()
        assert (answer["instrument"], answer["kept_at"]) == (other.pk, share.pk)
        assert answer["candles"]

    def test_what_she_does_not_hold_is_as_if_nobody_did(
        self, as_alice: Client, as_bob: Client, share: Instrument, holds: Holds
    ) -> None:
        """Whether a share has a past would tell that somebody holds it."""
        other = listed("RELIANCE", "500325", RELIANCE, exchange=Exchange.BSE)
        for each in (share, other):
            assert as_bob.get(CANDLES, {"instrument": each.pk}).json() == {
                "instrument": each.pk,
                "kept_at": None,
                "state": None,
                "candles": [],
                "next": None,
            }
        holds("bob", RELIANCE)
        assert as_bob.get(CANDLES, {"instrument": share.pk}).json()["candles"]

    def test_the_indices_are_everybodys(self, as_bob: Client) -> None:
        fund = listed("NIFTYBEES", "10576", "INF204KB14I2")
        want([fund.pk], now=timezone.now())
        assert as_bob.get(CANDLES, {"instrument": fund.pk}).json()["state"] == "WAITING"

    def test_what_an_option_hangs_on(self, as_alice: Client, holds: Holds, share: Instrument) -> None:
        infy = listed("INFY", "1594", INFY)
        want([infy.pk], now=timezone.now())
        assert as_alice.get(CANDLES, {"instrument": infy.pk}).json()["state"] is None
        holds("alice", Contract(underlying="INFY", expiry=date(2026, 12, 29)))
        assert as_alice.get(CANDLES, {"instrument": infy.pk}).json()["state"] == "WAITING"

    def test_of_an_account_that_was_disconnected_nothing(self, as_alice: Client, share: Instrument) -> None:
        BrokerConnection.objects.update(status=ConnectionStatus.DISCONNECTED)
        assert as_alice.get(CANDLES, {"instrument": share.pk}).json()["state"] is None

    def test_what_nobody_wanted(self, as_alice: Client) -> None:
        answer = as_alice.get(CANDLES, {"instrument": listed("INFY", "1594", INFY).pk}).json()
        assert (answer["kept_at"], answer["state"], answer["candles"]) == (None, None, [])

    @pytest.mark.parametrize(
        "query",
        [
            {},
            {"instrument": "x"},
            {"instrument": "1", "limit": "501"},
            {"instrument": "1", "limit": "0"},
            {"instrument": "1", "from": "yesterday"},
            {"instrument": "1", "from": "2026-11-26", "to": "2026-11-25"},
            {"instrument": str(2**70)},
        ],
    )
    def test_odd_questions_are_refused(self, as_alice: Client, query: dict[str, str]) -> None:
        answer = as_alice.get(CANDLES, query)
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid_input")

    def test_the_first_day_there_is(self, as_alice: Client, share: Instrument) -> None:
        """A year before it there is none to count back to."""
        answer = as_alice.get(CANDLES, {"instrument": share.pk, "to": "0001-02-03"})
        assert (answer.status_code, answer.json()["candles"]) == (200, [])

    def test_an_instrument_that_is_not_there(self, as_alice: Client) -> None:
        assert as_alice.get(CANDLES, {"instrument": 999_999_999}).status_code == 404

    def test_a_day_is_marked_and_disputed(self, as_alice: Client, share: Instrument) -> None:
        last = DailyCandle.objects.latest("day")
        DailyCandle.objects.filter(pk=last.pk).update(
            suspected_split=True, disputes=1, disputed_by="upstox", disputed_close=1
        )
        shown = as_alice.get(CANDLES, {"instrument": share.pk}).json()["candles"][-1]
        assert (shown["suspected_split"], shown["disputed"]) == (True, True)
