"""Each of the twelve checks, both ways; and what a run of them is."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from brokers.clearance import Answer as Light
from brokers.domain import Exchange, OrderType, Product, Side
from orders.checks import clearing, table
from orders.checks.table import CHECKS, NUMBERS
from orders.checks.words import Checked, Finding, Verdict
from orders.facts import Choices, Facts, Market, Priced, Resting, Wanted, Why, facts_from, plain, wanted_from
from orders.risk_words import Halt, Occasion
from portfolio.risk.limits import Action, Metric, Scope
from tests.orders.checks.samples import (
    FUTURE,
    HERE,
    ISIN,
    OPTION,
    SHARE,
    THERE,
    account,
    book,
    child,
    denials,
    facts,
    findings,
    limit,
    of_check,
    run,
    wanted,
)
from tests.orders.conftest import NOW, later


def sale(quantity: int = 100, **changed: Any) -> Wanted:
    return wanted(quantity, side=Side.SELL, **changed)


def owning(quantity: int, **changed: Any) -> Facts:
    return facts(accounts=(account(owned=Decimal(quantity)), account(THERE)), **changed)


class TestTheRun:
    def test_all_twelve_are_listed_in_their_order_and_say_how_they_saw_it(self) -> None:
        checked = run(facts(), wanted())
        assert [each.number for each in checked] == list(range(1, 13)) == list(NUMBERS)
        assert [each.name for each in checked] == [each.name for each in CHECKS]
        assert {each.verdict for each in checked} == {Verdict.PASS}
        assert all(each.findings and all(found.words for found in each.findings) for each in checked)

    def test_without_anything_planned_nothing_passes(self) -> None:
        why = Why(code="phase_forbids", words="NSE is closed.", remedy="Wait.")
        checked = table.run(facts(), wanted(), (), [why])
        assert len(checked) == 12
        assert denials(checked) == ["2:phase_forbids"]
        assert {each.verdict for each in checked} == {Verdict.DENY, Verdict.NOT_RUN}
        with pytest.raises(clearing.NotCleared):
            clearing.of_run(table.run(facts(), wanted(), ()), [])

    def test_what_fails_within_a_check_denies(self, caplog: pytest.LogCaptureFixture) -> None:
        def breaks(facts: Facts, wanted: Wanted, planned: Any) -> tuple[Finding, ...]:
            raise ZeroDivisionError

        broken = [replace(each, look=breaks) if each.number == 7 else each for each in CHECKS]
        checked = table.run(facts(), wanted(), [child(wanted())], checks=broken)
        assert denials(checked) == ["7:check_failed"]
        assert "Check 7 (Own crossing) failed" in caplog.text

    def test_no_facts_of_risk_pass_nothing(self) -> None:
        assert denials(run(facts(risk=None), wanted())) == [
            "1:halt_unreadable", "4:limits_unknown", "6:repeats_unknown", "10:limits_unknown", "11:limits_unknown",
            "12:limits_unknown",
        ]  # fmt: skip

    def test_it_is_the_same_from_what_was_stored(self) -> None:
        of, asked = facts(of_risk={"limits": (limit(Metric.ISSUER_PCT, 5),)}), wanted()
        again = facts_from(json.loads(json.dumps(plain(of))))
        assert again == of
        parts = [child(asked)]
        assert table.run(again, wanted_from(plain(asked)), parts) == table.run(of, asked, parts)

    def test_what_is_found_stands_in_the_order_of_the_checks(self) -> None:
        of = facts(of_risk={"halts_known": False, "repeats": ("a",)}, prices={})
        numbers = [found.check for found in findings(run(of, wanted(101, price=Decimal("1500.01"))))]
        assert numbers == sorted(numbers)


class TestSystem:
    @pytest.mark.parametrize(
        ("level", "closes", "exits", "denied"),
        [
            ("REDUCE_ONLY", False, False, True),
            ("REDUCE_ONLY", True, False, False),
            ("STOP", True, True, True),
            ("CANCEL", True, True, True),
            ("FLATTEN", True, False, True),
            ("FLATTEN", True, True, False),
        ],
    )
    def test_a_halt_stops_what_it_stops(self, level: str, closes: bool, exits: bool, denied: bool) -> None:
        halts = (Halt(kind="KILL", level=level, words="The kill switch is on."),)
        held = account(positions={"NSE:MIS": Decimal(100)} if closes else {})
        of = facts(accounts=(held,), of_risk={"halts": halts})
        asked = sale(product=Product.MIS, reduces=exits)
        assert (("halted", "DENY") in of_check(1, run(of, asked))) is denied

    def test_unknown_halts_deny_even_an_exit(self) -> None:
        assert of_check(1, run(facts(of_risk={"halts_known": False}), wanted())) == [("halt_unreadable", "DENY")]

    @pytest.mark.parametrize(
        ("skews", "found"),
        [
            ({}, [("clock_unmeasured", "WARN")]),
            ({"zerodha": Decimal("0.9")}, []),
            ({"zerodha": Decimal("-1.0")}, [("clock_skewed", "DENY")]),
            ({"zerodha": Decimal(0), "the database": Decimal(4)}, [("clock_skewed", "DENY")]),
        ],
    )
    def test_the_clock(self, skews: dict[str, Decimal], found: list[tuple[str, str]]) -> None:
        assert of_check(1, run(facts(of_risk={"skews": skews}), wanted())) == found

    def test_the_broker_its_circuit_and_our_address(self) -> None:
        reason = Why(code="ip_not_registered", words="Our address is not registered.", remedy="Register it.")
        for changed, found in (
            ({"circuit": "open"}, [("circuit_open", "DENY")]),
            ({"circuit": "half_open"}, []),
            ({"trade": Light.NO, "trade_reasons": (reason,)}, [("ip_not_registered", "DENY")]),
            ({"trade": Light.UNKNOWN, "trade_reasons": (reason,)}, [("ip_not_registered", "WARN")]),
            ({"trading_enabled": False}, [("not_cleared", "DENY")]),
        ):
            of = facts(accounts=(account(**changed), account(THERE, circuit="open")))
            assert of_check(1, run(of, wanted())) == found


class TestInstrument:
    def test_it_is_in_a_list_of_today(self) -> None:
        for place, found in (
            (replace(SHARE, last_seen_on=date(2026, 11, 25)), [("instrument_old", "WARN")]),
            (replace(SHARE, last_seen_on=date(2026, 11, 18)), [("instrument_not_seen", "DENY")]),
            (replace(SHARE, last_seen_on=None), [("instrument_not_seen", "DENY")]),
            (replace(SHARE, ended=True), [("instrument_ended", "DENY")]),
        ):
            assert of_check(2, run(facts(place=place), wanted())) == found

    def test_series_phase_and_product(self) -> None:
        t2t = facts(place=replace(SHARE, series="BE"))
        assert of_check(2, run(t2t, wanted(product=Product.MIS))) == [("trade_for_trade", "DENY")]
        closed = facts(markets={"NSE": Market(phase="CLOSED")})
        assert ("phase_forbids", "DENY") in of_check(2, run(closed, wanted()))
        assert of_check(2, run(facts(), wanted(product=Product.MTF))) == [("product_not_offered", "DENY")]

    def test_in_the_ban_only_what_reduces(self) -> None:
        place = replace(FUTURE, banned=True)
        long = account(positions={"NFO:NRML": Decimal(200)})
        of = facts(place=place, accounts=(long,))
        asked = sale(product=Product.NRML)
        assert of_check(2, run(of, asked)) == []
        assert of_check(2, run(of, replace(asked, side=Side.BUY))) == [("fno_ban", "DENY")]
        assert of_check(2, run(facts(place=replace(FUTURE, banned=None)), asked)) == [("ban_unknown", "WARN")]


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"price": Decimal("1500.01")}, "off_tick"),
        ({"quantity": Decimal("1.5")}, "odd_quantity"),
        ({"quantity": Decimal(100_001)}, "above_freeze"),
        ({"price": None}, "price_missing"),
    ],
)
def test_its_form(changed: dict[str, Any], code: str) -> None:
    asked = wanted(**changed)
    assert of_check(3, run(facts(), asked)) == [(code, "DENY")]
    assert of_check(3, run(facts(), wanted())) == []


class TestSize:
    @pytest.mark.parametrize(
        ("metric", "block", "denied"),
        [
            (Metric.ORDER_VALUE, 150_000, False),
            (Metric.ORDER_VALUE, "149999.99", True),
            (Metric.ORDER_QUANTITY, 100, False),
            (Metric.ORDER_QUANTITY, 99, True),
            (Metric.SYMBOL_DAY_VALUE, 200_000, False),
            (Metric.SYMBOL_DAY_VALUE, 199_999, True),
            (Metric.ORDER_ADV_PCT, "0.01", False),
            (Metric.ORDER_ADV_PCT, "0.0099", True),
        ],
    )
    def test_a_limit_lets_so_much_through_and_no_more(self, metric: Metric, block: str | int, denied: bool) -> None:
        of = facts(of_risk={"limits": (limit(metric, block),), "dealt_today": Decimal(50_000)})
        assert of_check(4, run(of, wanted())) == ([(metric.value.lower(), "DENY")] if denied else [])

    @pytest.mark.parametrize("missing", ["adv", "dealt_today"])
    def test_what_is_not_known_denies_where_a_limit_is_set(self, missing: str) -> None:
        metric = {"adv": Metric.ORDER_ADV_PCT, "dealt_today": Metric.SYMBOL_DAY_VALUE}[missing]
        for rows, found in (((limit(metric, 50),), [(f"{metric.value.lower()}_unknown", "DENY")]), ((), [])):
            of = facts(of_risk={"limits": rows, missing: None})
            assert of_check(4, run(of, wanted())) == found

    def test_what_each_action_makes_of_it(self) -> None:
        for action, verdict in (
            (Action.NOTIFY, "WARN"),
            (Action.CONFIRM, "CONFIRM"),
            (Action.BLOCK_INCREASING, "DENY"),
            (Action.REDUCE_ONLY, "DENY"),
            (Action.KILL, "DENY"),
        ):
            of = facts(of_risk={"limits": (limit(Metric.ORDER_QUANTITY, 10, action=action),)})
            assert of_check(4, run(of, wanted())) == [("order_quantity", verdict)]

    def test_by_the_scope(self) -> None:
        two = [child(wanted(), quantity=Decimal(40)), child(wanted(), at=THERE, quantity=Decimal(60))]
        for scope, key, denied in (
            (Scope.GLOBAL, "", True),
            (Scope.ACCOUNT, "", True),
            (Scope.ACCOUNT, HERE, False),
            (Scope.BROKER, "upstox", True),
            (Scope.SEGMENT, "FNO", False),
            (Scope.ISSUER, ISIN, True),
        ):
            of = facts(of_risk={"limits": (limit(Metric.ORDER_QUANTITY, 50, scope=scope, key=key),)})
            assert bool(denials(run(of, wanted(), two))) is denied, scope

    def test_an_exit_is_told_and_let_out(self) -> None:
        of = owning(500, of_risk={"limits": (limit(Metric.ORDER_QUANTITY, 10),)})
        assert of_check(4, run(of, sale())) == [("order_quantity", "WARN")]

    def test_what_a_broker_takes_in_one_order(self) -> None:
        small = facts(accounts=(account(max_order_value=Decimal(1000), max_order_quantity=Decimal(10)),))
        assert of_check(4, run(small, wanted())) == [
            ("above_broker_quantity", "DENY"),
            ("above_broker_value", "DENY"),
        ]

    def test_limits_of_a_strategy_are_said_not_to_be_applied(self) -> None:
        of = facts(of_risk={"limits": (limit(Metric.ORDER_QUANTITY, 10, scope=Scope.STRATEGY, key="mine"),)})
        assert of_check(4, run(of, wanted())) == [("limit_not_applied", "WARN")]


class TestCollar:
    @pytest.mark.parametrize(
        ("price", "place", "last", "found"),
        [
            ("1545", SHARE, "1500", []),
            ("1545.05", SHARE, "1500", [("outside_collar", "DENY")]),
            ("1455", SHARE, "1500", []),
            ("1454.95", SHARE, "1500", [("outside_collar", "DENY")]),
            ("1545", FUTURE, "1500", []),
            ("1545.05", FUTURE, "1500", [("outside_collar", "DENY")]),
            ("140", OPTION, "100", []),
            ("140.05", OPTION, "100", [("outside_collar", "DENY")]),
            ("30", OPTION, "10", []),  # ₹20, which is more than 40%
            ("30.05", OPTION, "10", [("outside_collar", "DENY")]),
        ],
    )
    def test_its_width(self, price: str, place: Any, last: str, found: list[tuple[str, str]]) -> None:
        told = Priced(last_price=Decimal(last), as_of=NOW, by="zerodha", close_price=Decimal(last))
        of = facts(place=place, prices={place.exchange.value: told})
        asked = wanted(price=Decimal(price), product=Product.CNC if place is SHARE else Product.NRML)
        assert of_check(5, run(of, asked)) == found

    @pytest.mark.parametrize(("age", "found"), [(10, []), (11, [("no_reference", "DENY")])])
    def test_a_last_trade_of_ten_seconds_and_no_older(self, age: int, found: list[tuple[str, str]]) -> None:
        old = Priced(last_price=Decimal(1500), as_of=later(-age), by="zerodha", close_price=Decimal(1490))
        assert of_check(5, run(facts(prices={"NSE": old}), wanted())) == found

    def test_without_a_price_nothing_goes_nor_does_an_exit(self) -> None:
        assert of_check(5, run(facts(prices={}), wanted()))[0] == ("no_reference", "DENY")
        assert of_check(5, run(owning(100, prices={}), sale()))[0] == ("no_reference", "DENY")

    def test_nor_far_from_the_previous_close(self) -> None:
        for close, found in (
            ("1250", []),
            ("1249", [("outside_day_band", "DENY")]),
            (None, [("close_unknown", "WARN")]),
        ):
            told = Priced(
                last_price=Decimal(1500), as_of=NOW, by="zerodha", close_price=None if close is None else Decimal(close)
            )
            assert of_check(5, run(facts(prices={"NSE": told}), wanted())) == found

    def test_a_stop_is_held_against_its_trigger(self) -> None:
        stop = wanted(order_type=OrderType.SL, trigger_price=Decimal(1600), price=Decimal(1610))
        assert of_check(5, run(facts(), stop)) == []
        wide = replace(stop, price=Decimal(1700))
        assert of_check(5, run(facts(), wide)) == [("outside_collar", "DENY")]

    @pytest.mark.parametrize(
        ("place", "last", "trigger", "found"),
        [
            (SHARE, "1500", "1950", []),
            (SHARE, "1500", "1950.05", [("trigger_too_far", "DENY")]),
            (SHARE, "1500", "1049.95", [("trigger_too_far", "DENY")]),
            (FUTURE, "1500", "1950.05", [("trigger_too_far", "DENY")]),
            (OPTION, "50", "200", []),
            (OPTION, "50", "5000", [("trigger_too_far", "DENY")]),
            (OPTION, "1", "51", []),  # ₹50, which is more than 300%
            (OPTION, "1", "51.05", [("trigger_too_far", "DENY")]),
        ],
    )
    @pytest.mark.parametrize("occasion", [Occasion.ORDER, Occasion.WAITING])
    def test_and_its_trigger_against_the_market(
        self, place: Any, last: str, trigger: str, found: list[tuple[str, str]], occasion: Occasion
    ) -> None:
        """However old that price is: a distance as wide as this asks for no fresher one."""
        close = Decimal(trigger)
        told = Priced(last_price=Decimal(last), as_of=later(-3600), by="zerodha", close_price=close)
        of = facts(place=place, prices={place.exchange.value: told}, of_risk={"occasion": occasion})
        asked = wanted(
            order_type=OrderType.SL if occasion is Occasion.ORDER else OrderType.LIMIT,
            trigger_price=Decimal(trigger),
            price=Decimal(trigger),
            product=Product.CNC if place is SHARE else Product.NRML,
        )
        assert of_check(5, run(of, asked)) == found

    def test_without_any_price_a_stop_does_not_go(self) -> None:
        stop = wanted(order_type=OrderType.SL, trigger_price=Decimal(1600), price=Decimal(1610))
        assert of_check(5, run(facts(prices={}), stop))[0] == ("no_reference", "DENY")
        closed = Priced(last_price=None, as_of=NOW, by="zerodha", close_price=Decimal(1500))
        assert of_check(5, run(facts(prices={"NSE": closed}), stop)) == []


class TestRepeats:
    def test_the_same_again_is_confirmed(self) -> None:
        assert of_check(6, run(facts(of_risk={"repeats": ("a",)}), wanted())) == [("duplicate", "CONFIRM")]
        confirmed = facts(of_risk={"repeats": ("a",), "repeats_confirmed": True})
        assert of_check(6, run(confirmed, wanted())) == []

    @pytest.mark.parametrize(("moves", "found"), [(2, []), (3, [("moved_too_often", "DENY")])])
    def test_an_order_does_not_run_round_in_circles(self, moves: int, found: list[tuple[str, str]]) -> None:
        assert of_check(6, run(facts(of_risk={"moves": moves}), wanted())) == found


def test_it_meets_no_order_of_its_owner() -> None:
    def of(price: int) -> Facts:
        resting = Resting(
            connection_id=THERE, exchange=Exchange.NSE, side=Side.SELL, price=Decimal(price), quantity=Decimal(5)
        )
        return facts(resting=(resting,))

    assert of_check(7, run(of(1500), wanted())) == [("self_trade", "DENY")]
    assert of_check(7, run(of(1501), wanted())) == []


class TestCover:
    def test_money_with_what_is_under_way_taken_off(self) -> None:
        for reserved, found in ((850_000, []), (850_001, [("too_little_money", "DENY")])):
            of = facts(accounts=(account(reserved=Decimal(reserved)),))
            assert of_check(8, run(of, wanted())) == found
        assert of_check(8, run(facts(accounts=(account(available=None),)), wanted())) == [("money_unknown", "DENY")]

    def test_of_several_orders_at_one_broker_the_sum(self) -> None:
        of = facts(accounts=(account(available=Decimal(200_000)),))
        two = [child(wanted(), quantity=Decimal(70)), child(wanted(), quantity=Decimal(70))]
        assert of_check(8, run(of, wanted(140), two)) == [("too_little_money", "DENY")]

    def test_shares_that_are_free(self) -> None:
        assert of_check(8, run(owning(100), sale())) == []
        assert of_check(8, run(owning(99), sale())) == [("too_few_shares", "DENY")]
        sold = facts(accounts=(account(owned=Decimal(150), sold=Decimal(51)),))
        assert of_check(8, run(sold, sale())) == [("too_few_shares", "DENY")]
        assert of_check(8, run(facts(accounts=(account(owned=None),)), sale())) == [("shares_unknown", "DENY")]

    def test_an_exit_takes_no_more_than_stands(self) -> None:
        held = {"NSE:MIS": Decimal(100)}
        asked = sale(product=Product.MIS, reduces=True)
        assert of_check(8, run(facts(accounts=(account(positions=held),)), asked)) == []
        closing = facts(accounts=(account(positions=held, closing=Decimal(1)),))
        assert of_check(8, run(closing, asked)) == [("too_few_shares", "DENY")]

    def test_what_waits_for_its_price_is_told(self) -> None:
        of = facts(accounts=(account(available=Decimal(1)),), of_risk={"occasion": Occasion.WAITING})
        asked = wanted(trigger_price=Decimal(1500))
        assert of_check(8, run(of, asked)) == [("paid_when_triggered", "WARN")]


@pytest.mark.parametrize(
    ("tokens", "found"),
    [(None, []), (0, [("no_budget", "DENY")]), (1, [("waits_for_budget", "WARN")]), (2, [])],
)
def test_its_pace(tokens: int | None, found: list[tuple[str, str]]) -> None:
    of = facts(accounts=(account(rate_tokens=tokens),))
    two = [child(wanted(), quantity=Decimal(50)), child(wanted(), quantity=Decimal(50))]
    assert of_check(9, run(of, wanted(), two)) == found


def test_an_order_is_changed_so_often_and_no_more() -> None:
    for changes, found in ((24, []), (25, [("too_many_changes", "DENY")])):
        of = facts(of_risk={"occasion": Occasion.CHANGE, "changes": changes, "most_changes": 25})
        assert of_check(9, run(of, wanted())) == found


class TestConfirmation:
    def test_a_tenth_of_the_equity(self) -> None:
        rows = (limit(Metric.ORDER_VALUE_PCT, 10, action=Action.CONFIRM),)
        for equity, found in ((1_500_000, []), (1_499_999, [("order_value_pct", "CONFIRM")])):
            of = facts(of_risk={"limits": rows, "book": book(equity=Decimal(equity))})
            assert of_check(12, run(of, wanted())) == found
        unknown = facts(of_risk={"limits": rows, "book": book(equity=None)})
        assert of_check(12, run(unknown, wanted())) == [("order_value_pct_unknown", "CONFIRM")]

    def test_the_settings_of_approval(self) -> None:
        of = facts(choices=Choices(approval_above=Decimal(100_000)))
        assert of_check(12, run(of, wanted())) == [("approval_value", "CONFIRM")]

    def test_an_exit_needs_the_settings_alone(self) -> None:
        rows = (limit(Metric.ORDER_VALUE_PCT, 10, action=Action.CONFIRM),)
        of = owning(500, of_risk={"limits": rows, "book": book(equity=Decimal(1000))})
        assert of_check(12, run(of, sale())) == [("order_value_pct", "WARN")]


class TestClearing:
    def cleared(self, checked: tuple[Checked, ...], **said: Any) -> clearing.Cleared:
        return clearing.of_run(checked, [child(wanted())], **said)

    def test_nobody_else_makes_one(self) -> None:
        with pytest.raises(clearing.NotCleared):
            clearing.Cleared((), object())

    def test_it_names_what_may_go_and_nothing_else(self) -> None:
        cleared = self.cleared(run(facts(), wanted()))
        part = clearing.Part(
            connection_id=HERE, exchange="NSE", quantity=Decimal(100), side="BUY", product="CNC", price=Decimal(1500)
        )
        assert cleared.allows(part)
        assert cleared.allows(replace(part, quantity=Decimal(99)))
        for changed in (
            {"quantity": Decimal(101)},
            {"price": Decimal("1500.05")},
            {"side": "SELL"},
            {"product": "MIS"},
            {"connection_id": THERE},
            {"exchange": "BSE"},
        ):
            assert not cleared.allows(replace(part, **changed)), changed

    def test_a_denial_clears_nothing_and_a_confirmation_once_it_was_had(self) -> None:
        with pytest.raises(clearing.NotCleared, match="No price of the last ten seconds"):
            self.cleared(run(facts(prices={}), wanted()))
        to_confirm = run(facts(choices=Choices(approval_above=Decimal(1))), wanted())
        with pytest.raises(clearing.NotCleared):
            self.cleared(to_confirm)
        assert self.cleared(to_confirm, confirmed=True).parts

    def test_from_what_is_stored(self) -> None:
        checked = plain(run(facts(), wanted()))
        answer = {"children": [plain(child(wanted()))], "checks": checked}
        assert clearing.of_stored(answer, confirmed=False).parts[0].price == Decimal(1500)
        for broken in (
            {"children": answer["children"]},
            {**answer, "checks": checked[:11]},
            {**answer, "checks": checked[::-1]},
            {**answer, "refusals": [{"code": "x"}]},
            {**answer, "checks": [{**checked[0], "verdict": "NOT_RUN"}, *checked[1:]]},
        ):
            with pytest.raises(clearing.NotCleared):
                clearing.of_stored(broken, confirmed=True)
