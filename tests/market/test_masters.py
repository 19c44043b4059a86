"""Masters of every dialect, over HTTP, into one table of instruments."""

from __future__ import annotations

import json
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import psycopg
import pytest
from django.core.management import call_command
from django.db import connection
from pytest_django import Settings

from accounts.models import User
from brokers import registry
from brokers.domain import Exchange
from brokers.simulation.masters import isin_of
from brokers.simulation.server import SimulatedBrokers
from market import masters as verbs
from market import tasks
from market.models import Instrument, InstrumentDispute, InstrumentListing, LoadOutcome, MasterLoad
from orders import units
from tests.market.conftest import NOW, Load, Publisher, for_fyers, option, share
from tests.people import connect

# Units in one of what an order in dollars counts; 0: not known, as a lot of 1 is listed where units are counted.
COUNTED = {"zerodha": 1000, "upstox": 0, "fyers": 1000, "iifl": 1000, "iifl_capital": 1}
TODAY, DAY = date(2026, 11, 26), timedelta(days=1)
PUBLIC = [slug for slug in registry.slugs() if not registry.load(slug).spec.master.needs_session]  # type: ignore[union-attr]
RELIANCE, KOTAK_OLD, KOTAK_NEW = "INE002A01018", "INE237A01028", "INE237A01036"


def rows() -> list[tuple[object, ...]]:
    """Everything the loads wrote, but for the loads' own log."""
    return [
        *Instrument.objects.order_by("id").values_list(),
        *InstrumentListing.objects.order_by("id").values_list(),
        *InstrumentDispute.objects.order_by("id").values_list(),
    ]


class TestDialects:
    @pytest.mark.parametrize("slug", PUBLIC)
    def test_each_is_read_whole(self, slug: str, load: Load) -> None:
        done = load(slug)
        assert (done.unreadable, done.error_code) == ({}, "")
        assert done.row_count == done.new_count == Instrument.objects.count() > 4900
        assert done.file_bytes > 50_000
        nifty = Instrument.objects.get(identity="NFO|NIFTY|2026-12-29|27000|CE")
        assert (nifty.exchange_token, nifty.lot_size, nifty.tick_size) == ("50978", Decimal(65), Decimal("0.05"))
        assert (nifty.segment, nifty.kind, nifty.expiry) == ("FNO", "OPTION", date(2026, 12, 29))
        reliance = Instrument.objects.get(identity="NSE|2885")
        assert (reliance.tradingsymbol, reliance.kind, reliance.isin) in {
            ("RELIANCE", "EQUITY", RELIANCE),
            ("RELIANCE", "EQUITY", None),
        }

    def test_all_of_them_make_one_table(self, load: Load, alice: User, masters: SimulatedBrokers) -> None:
        connect(alice, "zerodha", masters)  # whose dump is not public
        for slug in registry.slugs():
            load(slug)
        reliance = Instrument.objects.get(identity="NSE|2885")
        assert (reliance.isin, reliance.series, reliance.cas_eligible) == (RELIANCE, "EQ", True)
        assert {listing.broker_type: listing.broker_token for listing in reliance.listings.all()} == {
            "zerodha": "738561",
            "groww": "NSE_RELIANCE",
            "angel_one": "2885",
            "upstox": "NSE_EQ|INE002A01018",
            "fyers": "NSE:RELIANCE-EQ",
            "iifl": "2885",
            "iifl_capital": "2885",
        }
        nifty = Instrument.objects.get(identity="NFO|NIFTY|2026-12-29|27000|CE")
        assert (nifty.tradingsymbol, nifty.freeze_quantity) == ("NIFTY26DEC27000CE", 1800)
        assert nifty.listings.count() == 7
        gold = Instrument.objects.get(exchange="MCX", underlying="GOLD", kind="FUTURE")
        assert gold.lot_size == 100  # whether a broker writes 100, or 1 times 100
        assert gold.listings.get(broker_type="zerodha").lot_size is None  # or 1 and no more
        counted = {listing.broker_type: units.in_one(listing, gold) for listing in gold.listings.all()}
        assert {slug for slug, each in counted.items() if each == 100} == {
            *("zerodha", "upstox", "fyers", "iifl", "iifl_capital"),
        }
        dollar = Instrument.objects.get(exchange="CDS", underlying="USDINR")
        counted = {listing.broker_type: units.in_one(listing, dollar) for listing in dollar.listings.all()}
        assert {slug: int(each or 0) for slug, each in counted.items() if slug in COUNTED} == COUNTED
        assert set(InstrumentDispute.objects.values_list("field", "said")) == set()
        assert Instrument.objects.filter(kind="EQUITY", exchange="NSE", isin=None).count() == 0

    def test_one_that_is_not_public_needs_somebody_logged_in(self, load: Load) -> None:
        done = load("zerodha", outcome=LoadOutcome.UNREACHABLE)
        assert (done.error_code, Instrument.objects.count()) == ("session_ended", 0)

    def test_nothing_leaves_a_simulation(self, settings: Settings, load: Load) -> None:
        settings.BROKERS = {slug: known | {"master_url": ""} for slug, known in settings.BROKERS.items()}
        assert load("upstox", outcome=LoadOutcome.UNREACHABLE).error_code == "not_supported"

    def test_the_command_tells_what_was_loaded(
        self, masters: SimulatedBrokers, db: None, capsys: pytest.CaptureFixture[str]
    ) -> None:
        call_command("load_masters", "groww")
        assert capsys.readouterr().out.startswith("groww         LOADED       5")
        with pytest.raises(SystemExit):
            call_command("load_masters", "zerodha")
        assert "Nobody is logged in to Zerodha" in capsys.readouterr().out


class TestReload:
    def test_the_same_file_changes_nothing(self, load: Load) -> None:
        load("groww")
        load("fyers")
        before = rows()
        again = load("groww", now=NOW + timedelta(hours=1))
        assert rows() == before
        assert (again.new_count, again.succeeded_count, again.withdrawn_count) == (0, 0, 0)

    def test_the_next_day_is_seen_and_what_is_gone_is_withdrawn(self, load: Load, publisher: Publisher) -> None:
        kept, gone = share("KEPT", "1", RELIANCE), option(27000, "9")
        publisher.groww(kept, gone)
        load("groww")
        publisher.groww(kept)
        assert load("groww", now=NOW + DAY).withdrawn_count == 1
        seen = dict(Instrument.objects.values_list("kind", "last_seen_on"))
        assert seen == {"EQUITY": TODAY + DAY, "OPTION": TODAY}
        assert InstrumentListing.objects.get(instrument__kind="OPTION").withdrawn_on == TODAY + DAY
        publisher.groww(kept, gone)
        load("groww", now=NOW + 2 * DAY)
        assert InstrumentListing.objects.get(instrument__kind="OPTION").withdrawn_on is None
        assert Instrument.objects.count() == 2

    def test_a_symbol_changes_and_the_share_stays(self, load: Load, publisher: Publisher) -> None:
        publisher.groww(share("LTIM", "17818", "INE214T01019"))
        load("groww")
        publisher.groww(share("LTM", "17818", "INE214T01019"))
        load("groww", now=NOW + DAY)
        [renamed] = Instrument.objects.all()
        assert (renamed.tradingsymbol, renamed.words) == ("LTM", "LTM LTM Ltd.")


class TestBrokenFiles:
    @pytest.fixture(autouse=True)
    def loaded(self, load: Load, request: pytest.FixtureRequest) -> list[tuple[object, ...]]:
        load(request.getfixturevalue("slug") if "slug" in request.fixturenames else "groww")
        return rows()

    @pytest.mark.parametrize("slug", ["upstox", "angel_one", "iifl", "fyers"])
    def test_half_a_file_changes_nothing(
        self, slug: str, masters: SimulatedBrokers, load: Load, loaded: list[tuple[object, ...]]
    ) -> None:
        masters.control.set_fault(slug, "malformed_body")
        done = load(slug, now=NOW + DAY, outcome=LoadOutcome.REFUSED)
        assert (done.error_code, done.row_count) == ("broken_master", 0)
        assert rows() == loaded

    @pytest.mark.parametrize("slug", ["groww", "upstox"])
    def test_a_connection_that_breaks_changes_nothing(
        self, slug: str, masters: SimulatedBrokers, load: Load, loaded: list[tuple[object, ...]]
    ) -> None:
        masters.control.set_fault(slug, "drop_connection", mode="mid_body")
        assert load(slug, now=NOW + DAY, outcome=LoadOutcome.UNREACHABLE).error_code == "broker_unavailable"
        assert rows() == loaded

    @pytest.mark.parametrize("fault", ["html_gateway", "server_error", "rate_limit", "down"])
    def test_a_broker_in_trouble_changes_nothing(
        self, fault: str, masters: SimulatedBrokers, load: Load, loaded: list[tuple[object, ...]]
    ) -> None:
        masters.control.set_fault("groww", fault)
        load("groww", now=NOW + DAY, outcome=LoadOutcome.UNREACHABLE)
        assert rows() == loaded

    @pytest.mark.parametrize(
        "master",
        [
            "",
            "<html><body>maintenance</body></html>",
            "exchange,exchange_token,trading_symbol\n",
            "exchange,segment,trading_symbol,instrument_type\nNSE,CASH,INFY,WHAT\n",
            "exchange,segment,trading_symbol\nNSE,CASH,INFY\nNSE,CA",
        ],
    )
    def test_what_is_no_master_changes_nothing(
        self, master: str, publisher: Publisher, load: Load, loaded: list[tuple[object, ...]]
    ) -> None:
        publisher.text("groww", master)
        load("groww", now=NOW + DAY, outcome=LoadOutcome.REFUSED)
        assert rows() == loaded

    def test_a_file_that_shrank_by_half_is_not_believed(
        self, publisher: Publisher, load: Load, loaded: list[tuple[object, ...]]
    ) -> None:
        publisher.groww(*(share(f"S{number}", str(number), None) for number in range(2000)))
        done = load("groww", now=NOW + DAY, outcome=LoadOutcome.REFUSED)
        assert "2000 rows" in done.error_message
        assert rows() == loaded

    def test_a_file_larger_than_any_is_not_read_on(
        self, monkeypatch: pytest.MonkeyPatch, load: Load, loaded: list[tuple[object, ...]]
    ) -> None:
        monkeypatch.setattr(verbs, "LARGEST_FILE", 300_000)
        assert load("groww", now=NOW + DAY, outcome=LoadOutcome.REFUSED).error_code == "unexpected_response"
        assert rows() == loaded


class TestUnreadableRows:
    def test_they_are_counted_by_field_and_the_others_count(self, publisher: Publisher, load: Load) -> None:
        good, bad = share("GOOD", "1", RELIANCE), share("BAD", "2", "INE002A01019")  # a wrong check digit
        publisher.groww(good, bad, share("L" * 90, "3", None), option(27000, "4"))
        done = load("groww")
        assert done.unreadable == {"isin": 1, "tradingsymbol": 1}
        assert set(Instrument.objects.values_list("tradingsymbol", "isin")) == {
            ("GOOD", RELIANCE),
            ("BAD", None),
            ("NIFTY26DEC27000CE", None),
        }

    def test_a_row_that_comes_twice_counts_once(self, publisher: Publisher, load: Load) -> None:
        publisher.groww(share("ONE", "1", RELIANCE), share("ONE", "1", RELIANCE), option(27000, "4"))
        assert load("groww").unreadable == {"duplicate": 1}
        assert Instrument.objects.count() == 2

    def test_signs_that_a_copy_could_mistake_come_through(self, publisher: Publisher, load: Load) -> None:
        name = 'Tab\there, back\\slash, "quotes", \\N and ₹'
        publisher.groww(share("M&M", "2031", None, name=name))
        load("groww")
        assert Instrument.objects.get().name == name

    def test_half_a_sign_is_replaced(self, publisher: Publisher, load: Load) -> None:
        row = {"token": "1", "symbol": "ODD-EQ", "name": "\ud83d", "exch_seg": "NSE", "instrumenttype": "",
               "lotsize": "1", "tick_size": "5", "strike": "-1", "expiry": ""}  # fmt: skip
        publisher.text("angel_one", json.dumps([row]))
        load("angel_one")
        assert Instrument.objects.get().name == "?"


class TestSplits:
    @pytest.fixture
    def split(self, publisher: Publisher, load: Load) -> Instrument:
        """A face value is split, and Groww is the first to write the new ISIN."""
        others = [share(f"S{number}", str(number), None) for number in range(5)]
        publisher.groww(share("KOTAKBANK", "1922", KOTAK_OLD), *others)
        publisher.fyers(for_fyers(share("KOTAKBANK", "1922", KOTAK_OLD)))
        load("groww")
        load("fyers")
        publisher.groww(share("KOTAKBANK", "1922", KOTAK_NEW), *others)
        assert load("groww", now=NOW + DAY).succeeded_count == 1
        return Instrument.objects.get(isin=KOTAK_NEW)

    def test_the_chain_of_identity_is_kept(self, split: Instrument) -> None:
        former = split.succeeds
        assert former is not None
        assert (former.isin, former.ended_on, former.identity) == (KOTAK_OLD, TODAY + DAY, split.identity)
        assert (split.first_seen_on, split.ended_on) == (TODAY + DAY, None)
        assert set(split.listings.values_list("broker_type", flat=True)) == {"groww", "fyers"}
        assert former.listings.count() == 0

    def test_who_has_not_heard_of_it_is_in_dispute_until_they_do(
        self, split: Instrument, publisher: Publisher, load: Load
    ) -> None:
        [dispute] = InstrumentDispute.objects.all()
        assert (dispute.instrument, dispute.field, dispute.closed_at) == (split, "isin", None)
        assert dispute.said == {"groww": KOTAK_NEW, "fyers": KOTAK_OLD}
        assert load("fyers", now=NOW + DAY).succeeded_count == 0  # it says again what it said
        publisher.fyers(for_fyers(share("KOTAKBANK", "1922", KOTAK_NEW)))
        assert load("fyers", now=NOW + 2 * DAY).succeeded_count == 0
        dispute.refresh_from_db()
        assert dispute.closed_at == NOW + 2 * DAY
        assert Instrument.objects.filter(identity=split.identity).count() == 2

    def test_going_back_makes_no_third(self, split: Instrument, publisher: Publisher, load: Load) -> None:
        publisher.groww(
            *(share(f"S{number}", str(number), None) for number in range(5)), share("KOTAKBANK", "1922", KOTAK_OLD)
        )
        assert load("groww", now=NOW + 2 * DAY).succeeded_count == 0
        assert Instrument.objects.filter(identity=split.identity).count() == 2

    def test_a_number_given_to_another_company_is_no_succession(self, publisher: Publisher, load: Load) -> None:
        publisher.groww(share("OLDCO", "55", KOTAK_OLD))
        load("groww")
        publisher.groww(share("NEWCO", "55", RELIANCE))
        load("groww", now=NOW + DAY)
        newco = Instrument.objects.get(isin=RELIANCE)
        assert (newco.succeeds, newco.tradingsymbol) == (None, "NEWCO")
        assert Instrument.objects.get(isin=KOTAK_OLD).ended_on == TODAY + DAY

    def test_a_file_that_splits_every_share_is_not_believed(self, load: Load, publisher: Publisher) -> None:
        isins = [isin_of(number) for number in range(60)]
        publisher.groww(*(share(f"S{number}", str(number), isin) for number, isin in enumerate(isins[:30])))
        load("groww")
        before = rows()
        publisher.groww(*(share(f"S{number}", str(number), isin) for number, isin in enumerate(isins[30:])))
        assert "more ISINs" in load("groww", now=NOW + DAY, outcome=LoadOutcome.REFUSED).error_message
        assert rows() == before


class TestDisputes:
    def test_two_that_disagree_are_listed_and_a_third_decides(
        self, publisher: Publisher, load: Load, masters: SimulatedBrokers
    ) -> None:
        publisher.groww(option(27000, "50978", lot=75))
        publisher.fyers(for_fyers(option(27000, "50978", lot=65)))
        load("groww")
        assert InstrumentDispute.objects.count() == 0
        load("fyers")
        [dispute] = InstrumentDispute.objects.all()
        assert (dispute.field, dispute.said, dispute.opened_at) == (
            "lot_size",
            {"groww": "75.0000", "fyers": "65.0000"},
            NOW,
        )
        nifty = Instrument.objects.get()
        assert nifty.lot_size == 75  # at a tie it stays what it was
        load("upstox")
        nifty.refresh_from_db()
        assert nifty.lot_size == 65
        publisher.groww(option(27000, "50978", lot=65))
        load("groww", now=NOW + DAY)
        dispute.refresh_from_db()
        assert dispute.closed_at == NOW + DAY
        assert InstrumentDispute.objects.filter(closed_at=None).count() == 0

    def test_another_expiry_of_one_number_is_one_instrument_in_dispute(self, publisher: Publisher, load: Load) -> None:
        publisher.groww(option(27000, "50978"))
        publisher.fyers(for_fyers(option(27000, "50978", expiry=date(2026, 12, 28))))
        load("groww")
        load("fyers")
        [nifty] = Instrument.objects.all()
        [dispute] = nifty.disputes.all()
        assert (dispute.field, dispute.said) == ("expiry", {"groww": "2026-12-29", "fyers": "2026-12-28"})

    def test_a_number_used_again_after_expiry_is_another_instrument(self, publisher: Publisher, load: Load) -> None:
        publisher.groww(option(27000, "50978", expiry=date(2026, 11, 23)))
        load("groww", now=NOW - 5 * DAY)
        publisher.groww(option(27000, "50978", expiry=date(2026, 12, 29)))
        load("groww")
        assert Instrument.objects.count() == 2

    def test_ticks_of_shares_are_compared_and_names_are_not(self, publisher: Publisher, load: Load) -> None:
        publisher.groww(share("INFY", "1594", RELIANCE, tick="0.05", name="Infosys Ltd."))
        publisher.fyers(for_fyers(share("INFY", "1594", RELIANCE, tick="0.10", name="INFOSYS LIMITED")))
        load("groww")
        load("fyers")
        assert list(InstrumentDispute.objects.values_list("field", flat=True)) == ["tick_size"]


class TestTheMorning:
    def test_masters_are_due_from_eight_and_not_twice(self, load: Load) -> None:
        assert verbs.due(NOW) == PUBLIC
        load("groww")
        assert "groww" not in verbs.due(NOW + timedelta(hours=20))
        assert "groww" not in verbs.due(NOW + DAY - timedelta(minutes=1))
        assert "groww" in verbs.due(NOW + DAY)

    def test_a_failure_is_tried_again_half_an_hour_later(self, load: Load, masters: SimulatedBrokers) -> None:
        masters.control.set_fault("groww", "down")
        load("groww", outcome=LoadOutcome.UNREACHABLE)
        assert "groww" not in verbs.due(NOW + timedelta(minutes=29))
        assert "groww" in verbs.due(NOW + timedelta(minutes=30))

    def test_a_private_one_is_due_once_somebody_is_logged_in(self, alice: User, masters: SimulatedBrokers) -> None:
        assert "zerodha" not in verbs.due(NOW)
        connect(alice, "zerodha", masters)
        assert "zerodha" in verbs.due(NOW)

    def test_a_login_makes_up_for_an_attempt_before_it(
        self, load: Load, alice: User, masters: SimulatedBrokers, time_machine: Any
    ) -> None:
        load("zerodha", outcome=LoadOutcome.UNREACHABLE)
        time_machine.move_to(NOW + timedelta(minutes=1), tick=False)
        connect(alice, "zerodha", masters)
        assert "zerodha" in verbs.due(NOW + timedelta(minutes=1))
        load("zerodha", now=NOW + timedelta(minutes=2))
        assert "zerodha" not in verbs.due(NOW + timedelta(minutes=2))

    def test_a_login_asks_for_what_it_opens(
        self,
        alice: User,
        masters: SimulatedBrokers,
        monkeypatch: pytest.MonkeyPatch,
        django_capture_on_commit_callbacks: Any,
    ) -> None:
        asked: list[tuple[str, ...]] = []
        monkeypatch.setattr(tasks.load_master_if_due, "apply_async", lambda args, **how: asked.append(args))
        with django_capture_on_commit_callbacks() as waiting:
            connect(alice, "zerodha", masters)
            connect(alice, "groww", masters)  # whose master is public
        assert asked == []  # within the login nothing happens
        for callback in waiting:
            callback()
        assert asked == [("zerodha",)]

    def test_what_a_login_asks_for_is_loaded_once(self, alice: User, masters: SimulatedBrokers) -> None:
        connect(alice, "zerodha", masters)
        tasks.load_master_if_due("zerodha")
        tasks.load_master_if_due("zerodha")
        assert list(MasterLoad.objects.values_list("broker_type", "outcome")) == [("zerodha", LoadOutcome.LOADED)]

    def test_one_loader_at_a_time(self, load: Load, masters: SimulatedBrokers) -> None:
        key = (verbs.LOADER, registry.order_of("groww"))
        with psycopg.connect(**parameters()) as other:
            other.execute("SELECT pg_advisory_lock(%s, %s)", key)
            assert verbs.load_master(broker_type="groww", now=NOW) is None
            assert MasterLoad.objects.count() == 0
            other.execute("SELECT pg_advisory_unlock(%s, %s)", key)
        assert load("groww").row_count > 4900


def parameters() -> dict[str, object]:
    """Another session of the same database."""
    known = connection.get_connection_params()
    return {name: known[name] for name in ("dbname", "user", "password", "host", "port") if known.get(name)}


def test_shares_of_bse_are_other_instruments(publisher: Publisher, load: Load) -> None:
    publisher.groww(share("RELIANCE", "2885", RELIANCE), share("RELIANCE", "500325", RELIANCE, exchange=Exchange.BSE))
    load("groww")
    assert set(Instrument.objects.values_list("identity", "isin")) == {
        ("NSE|2885", RELIANCE),
        ("BSE|500325", RELIANCE),
    }
