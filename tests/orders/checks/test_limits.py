"""Limits on the book as it would be: the worst case of each side, both ways; and the laws that hold for every book."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from brokers.domain import Product, Side
from orders.checks.exposure import increases, worst
from orders.checks.words import SEVERITY, Verdict
from orders.facts import Facts
from orders.risk_words import AccountRisk, OpenOrder, SetLimit
from portfolio.risk.limits import DEFAULTS, Action, Limit, Metric, Scope, State
from tests.orders.checks.samples import (
    FUTURE,
    HERE,
    ISIN,
    THERE,
    account,
    book,
    child,
    facts,
    limit,
    of_check,
    run,
    standing,
    wanted,
)


def held(of_risk: dict[str, Any], **changed: Any) -> Facts:
    """INFY is owned: a thousand shares."""
    return facts(accounts=(account(owned=Decimal(1000)), account(THERE)), of_risk=of_risk, **changed)


class TestEach:
    """The order is for ₹1,50,000 of a share of which the book of ₹80,00,000 has ₹5,00,000."""

    @pytest.mark.parametrize(
        ("metric", "scope", "key", "passes", "denies"),
        [
            (Metric.ISSUER_PCT, Scope.ISSUER, "", "7.9755", "7.9754"),  # 650 of 8150
            (Metric.ISSUER_PCT, Scope.ISSUER, ISIN, "7.9755", "7.9754"),
            (Metric.SECTOR_PCT, Scope.GLOBAL, "", "12.8835", "12.8834"),  # 1050 of 8150
            (Metric.GROSS_EXPOSURE, Scope.GLOBAL, "", "8150000.01", "8150000"),
            (Metric.GROSS_EXPOSURE, Scope.SEGMENT, "EQUITY", "8150000.01", "8150000"),
            (Metric.LEVERAGE_RATIO, Scope.GLOBAL, "", "0.8151", "0.815"),
        ],
    )
    def test_it_is_denied_at_its_level(self, metric: Metric, scope: Scope, key: str, passes: str, denies: str) -> None:
        for level, found in ((passes, []), (denies, [(metric.value.lower(), "DENY")])):
            of = facts(of_risk={"limits": (limit(metric, level, scope=scope, key=key),)})
            assert of_check(10, run(of, wanted())) == found

    def test_of_another_issuer_or_segment_it_is_not_asked(self) -> None:
        for metric, scope, key in (
            (Metric.ISSUER_PCT, Scope.ISSUER, "INE002A01018"),
            (Metric.GROSS_EXPOSURE, Scope.SEGMENT, "FNO"),
        ):
            of = facts(of_risk={"limits": (limit(metric, 1, scope=scope, key=key),)})
            assert of_check(10, run(of, wanted())) == []

    def test_margin_of_the_account_that_it_goes_to(self) -> None:
        """A future of ₹1,50,000 binds a quarter of that: 37,500 beside 850,000 of a million."""
        used = AccountRisk(used=Decimal(850_000), available=Decimal(150_000))
        asked = wanted(product=Product.NRML)
        for level, found in (("88.76", []), ("88.75", [("margin_pct", "DENY")])):
            rows = (limit(Metric.MARGIN_PCT, level, scope=Scope.ACCOUNT),)
            of = facts(place=FUTURE, of_risk={"limits": rows, "accounts": {HERE: used}})
            assert of_check(10, run(of, asked)) == found
        unknown = facts(place=FUTURE, of_risk={"limits": rows, "accounts": {}})
        assert of_check(10, run(unknown, asked)) == [("margin_pct_unknown", "DENY")]
        paid = facts(of_risk={"limits": rows, "accounts": {HERE: used}})
        assert of_check(10, run(paid, wanted())) == []  # what is paid for in full is no margin

    def test_a_warning_warns(self) -> None:
        of = facts(of_risk={"limits": (limit(Metric.ISSUER_PCT, 20, warn=5, scope=Scope.ISSUER),)})
        assert of_check(10, run(of, wanted())) == [("issuer_pct_near", "WARN")]

    @pytest.mark.parametrize("metric", [Metric.VAR_99_PCT, Metric.ES_975_PCT, Metric.BROKER_PCT])
    def test_what_takes_long_to_reckon_counts_as_it_was_evaluated(self, metric: Metric) -> None:
        scope = Scope.BROKER if metric is Metric.BROKER_PCT else Scope.GLOBAL
        states = {"zerodha": State.BLOCK} if scope is Scope.BROKER else {}
        row = limit(metric, 3, scope=scope, state=State.BLOCK, states=states)
        for each, found in (
            (row, [(metric.value.lower(), "DENY")]),
            (replace(row, state=State.OK, states={}), []),
            (replace(row, evaluated=False), [(f"{metric.value.lower()}_unknown", "DENY")]),
            (replace(row, state=State.UNKNOWN, states={"zerodha": State.UNKNOWN}),
             [(f"{metric.value.lower()}_unknown", "DENY")]),
        ):  # fmt: skip
            assert of_check(10, run(facts(of_risk={"limits": (each,)}), wanted())) == found
            reducing = held({"limits": (each,)})
            assert ("DENY" not in str(of_check(10, run(reducing, wanted(side=Side.SELL))))) is True

    def test_a_breach_is_over_at_95_percent_and_no_sooner(self) -> None:
        for state, found in ((State.OK, []), (State.BLOCK, [("issuer_pct", "DENY")])):
            row = limit(Metric.ISSUER_PCT, "8.2", scope=Scope.ISSUER, state=state, states={ISIN: state})
            assert of_check(10, run(facts(of_risk={"limits": (row,)}), wanted())) == found

    def test_a_book_that_cannot_be_read_stops_what_is_no_exit(self) -> None:
        assert of_check(10, run(facts(of_risk={"book": None}), wanted())) == [("limits_unknown", "DENY")]
        assert of_check(11, run(facts(of_risk={"book": None}), wanted())) == [("limits_unknown", "DENY")]
        exit_ = held({"book": None})
        assert of_check(10, run(exit_, wanted(side=Side.SELL))) == [("limits_unknown", "WARN")]
        assert of_check(11, run(exit_, wanted(side=Side.SELL))) == [("limits_unknown", "WARN")]

    def test_a_part_of_it_is_said(self) -> None:
        of = facts(of_risk={"book": book(complete=False)})
        assert of_check(10, run(of, wanted())) == [("book_partial", "WARN")]

    @pytest.mark.parametrize("scope", [Scope.BROKER, Scope.ACCOUNT, Scope.ISSUER])
    def test_what_nothing_measures_is_not_within_its_limit(self, scope: Scope) -> None:
        row = limit(Metric.GROSS_EXPOSURE, 100, scope=scope, state=State.UNKNOWN)
        assert of_check(10, run(facts(of_risk={"limits": (row,)}), wanted())) == [("gross_exposure_unknown", "DENY")]
        assert "DENY" not in str(of_check(10, run(held({"limits": (row,)}), wanted(side=Side.SELL))))
        # What another of its keys is says nothing of this one where all that there are were measured.
        told = replace(row, state=State.WARN, states={"another": State.WARN})
        assert of_check(10, run(facts(of_risk={"limits": (told,)}), wanted())) == []

    @pytest.mark.parametrize(
        ("metric", "scope", "below", "reached"),
        [
            (Metric.ISSUER_PCT, Scope.ISSUER, 50, "7.9"),
            (Metric.SECTOR_PCT, Scope.GLOBAL, 50, "12.8"),
            (Metric.GROSS_EXPOSURE, Scope.GLOBAL, 9_000_000, 8_000_000),
            (Metric.LEVERAGE_RATIO, Scope.GLOBAL, 5, "0.8"),
        ],
    )
    def test_an_account_of_which_nothing_is_known_may_hold_anything(
        self, metric: Metric, scope: Scope, below: Any, reached: Any
    ) -> None:
        code = metric.value.lower()
        part = book(complete=False, whole=False)
        for level, found in ((below, f"{code}_unknown"), (reached, code)):
            of_risk = {"book": part, "limits": (limit(metric, level, scope=scope),)}
            assert (found, "DENY") in of_check(10, run(facts(of_risk=of_risk), wanted()))
            assert "DENY" not in str(of_check(10, run(held(of_risk), wanted(side=Side.SELL))))


class TestLosses:
    @pytest.mark.parametrize(
        ("metric", "figure"),
        [
            (Metric.DAY_LOSS_PCT, "day_loss_pct"),
            (Metric.DAY_LOSS, "day_loss"),
            (Metric.DRAWDOWN_PCT, "drawdown_pct"),
        ],
    )
    def test_what_was_lost_stops_what_makes_a_position_larger(self, metric: Metric, figure: str) -> None:
        rows = (limit(metric, 3, action=Action.REDUCE_ONLY),)
        code = metric.value.lower()
        for value, found in (("2.99", []), ("3", [(code, "DENY")]), (None, [(f"{code}_unknown", "DENY")])):
            lost = book(**{figure: None if value is None else Decimal(value)})
            assert of_check(11, run(facts(of_risk={"limits": rows, "book": lost}), wanted())) == found
            exit_ = of_check(11, run(held({"limits": rows, "book": lost}), wanted(side=Side.SELL)))
            assert all(verdict != "DENY" for _, verdict in exit_)

    @pytest.mark.parametrize(
        ("metric", "unknown", "told"),
        [
            (Metric.DAY_LOSS_PCT, {"day_known": False}, ("day_loss_pct_in_part", "CONFIRM")),
            (Metric.DAY_LOSS, {"day_known": False}, ("day_loss_in_part", "CONFIRM")),
            (Metric.DRAWDOWN_PCT, {"whole": False}, ("drawdown_pct_unknown", "DENY")),
        ],
    )
    @pytest.mark.parametrize("state", [State.OK, State.UNKNOWN, State.WARN])
    def test_of_a_part_of_the_day_nobody_says_that_it_is_within_its_limit(
        self, metric: Metric, unknown: dict[str, bool], told: tuple[str, str], state: State
    ) -> None:
        """The loser does not answer: what is known of the rest can reach a level, and is within none.

        An account that is away for a while has a person say yes; one of which nothing was ever known stops.
        """
        row, code = limit(metric, 3, action=Action.REDUCE_ONLY, state=state), metric.value.lower()
        for value, found in (("0", told), ("3", (code, "DENY"))):
            lost = book(complete=False, **unknown, **{code: Decimal(value)})
            of_risk = {"limits": (row,), "book": lost}
            assert of_check(11, run(facts(of_risk=of_risk), wanted())) == [found]
            exit_ = str(of_check(11, run(held(of_risk), wanted(side=Side.SELL))))
            assert "DENY" not in exit_
            assert "CONFIRM" not in exit_

    def test_where_a_row_has_no_day_its_last_evaluation_counts_too(self) -> None:
        """The limit was reached by a price that a stream told; what brokers answer tells less."""
        part = book(day_whole=False)
        for state, found in ((State.OK, []), (State.BLOCK, [("day_loss_pct", "DENY")])):
            of_risk = {"limits": (limit(Metric.DAY_LOSS_PCT, 3, state=state),), "book": part}
            assert of_check(11, run(facts(of_risk=of_risk), wanted())) == found

    def test_of_one_account_as_it_was_evaluated(self) -> None:
        row = limit(Metric.DAY_LOSS, 100, scope=Scope.ACCOUNT, states={HERE: State.BLOCK})
        of = facts(of_risk={"limits": (row,)})
        assert of_check(11, run(of, wanted())) == [("day_loss", "DENY")]
        assert of_check(11, run(of, wanted(), [child(wanted(), at=THERE)])) == []

    def test_reduce_only_stops_even_what_makes_nothing_worse(self) -> None:
        """A sale of what is short already in the market's eyes opens a position at its account."""
        rows = (limit(Metric.DAY_LOSS_PCT, 3, action=Action.REDUCE_ONLY),)
        long = {"limits": rows, "book": book(day_loss_pct=Decimal(4), instrument=Decimal(500_000))}
        intraday = wanted(side=Side.SELL, product=Product.MIS)
        assert not increases(facts(of_risk=long), intraday, [child(intraday)])
        assert of_check(11, run(facts(of_risk=long), intraday)) == [("day_loss_pct", "DENY")]


class TestTheWorstCase:
    def test_purchases_and_sales_that_stand_are_not_netted(self) -> None:
        both = [standing(Side.BUY, 100), standing(Side.SELL, 100)]
        assert worst(Decimal(0), both) == 150_000
        assert worst(Decimal(100_000), both) == 250_000
        assert worst(Decimal(-100_000), both) == 250_000
        assert worst(Decimal(100_000), []) == 100_000

    def test_what_is_not_known_is_not_reckoned_with(self) -> None:
        assert worst(None, []) is None
        assert worst(Decimal(1), [standing(Side.BUY, 1, adds=None)]) is None

    @pytest.mark.parametrize(
        ("orders", "figure"),
        [
            ((), "7.98"),
            ((standing(Side.BUY, 100),), "9.64"),
            ((standing(Side.SELL, 100),), "7.98"),  # it may stay unfilled
            ((standing(Side.BUY, 100, issuer="INE002A01018", instrument="INE002A01018"),), "7.98"),
            ((standing(Side.BUY, 100, instrument="NFO|INFY|2026-12-29"),), "9.64"),  # of the same issuer
        ],
    )
    def test_all_orders_of_the_issuer_count_as_if_filled(self, orders: tuple[OpenOrder, ...], figure: str) -> None:
        rows = (limit(Metric.ISSUER_PCT, figure, warn=1, scope=Scope.ISSUER),)
        of = facts(of_risk={"limits": rows, "orders": orders})
        found = run(of, wanted())[9].findings[0]
        assert found.words.startswith(figure)

    def test_each_side_by_itself(self) -> None:
        """What may become long already hides no short: nor does a long one that is turned round."""
        rows = (limit(Metric.DAY_LOSS_PCT, 3),)
        short = wanted(100, side=Side.SELL, product=Product.MIS)
        for own, stands, asked, grows in (
            (0, (standing(Side.BUY, 100),), short, True),
            (150_000, (), replace(short, quantity=Decimal(200)), True),
            (150_000, (), short, False),
            (150_000, (standing(Side.SELL, 100),), short, True),
            (-150_000, (), replace(short, side=Side.BUY, quantity=Decimal(200)), True),
            (-150_000, (), replace(short, side=Side.BUY), False),
        ):
            lost = book(instrument=Decimal(own), day_loss_pct=Decimal(4))
            of = facts(of_risk={"limits": rows, "book": lost, "orders": stands})
            assert increases(of, asked, [child(asked)]) is grows
            assert of_check(11, run(of, asked)) == ([("day_loss_pct", "DENY")] if grows else [])

    def test_a_sale_beyond_what_is_held_is_worse(self) -> None:
        rows = (limit(Metric.ISSUER_PCT, 6, scope=Scope.ISSUER),)
        orders = (standing(Side.SELL, 300),)  # ₹4,50,000 of the ₹5,00,000 may go already
        intraday = wanted(800, side=Side.SELL, product=Product.MIS)
        of = facts(of_risk={"limits": rows, "orders": orders})
        assert of_check(10, run(of, intraday)) == [("issuer_pct", "DENY")]
        assert of_check(10, run(of, replace(intraday, quantity=Decimal(30)))) == []


# --- laws -------------------------------------------------------------------------------------------------------------
MONEY = st.integers(-2_000_000, 2_000_000).map(Decimal)
LEVELS = st.integers(1, 100).map(Decimal)
OF_BOOK = (Metric.ISSUER_PCT, Metric.SECTOR_PCT, Metric.GROSS_EXPOSURE, Metric.LEVERAGE_RATIO, Metric.MARGIN_PCT)
OF_ALL = (*OF_BOOK, Metric.DAY_LOSS_PCT, Metric.DRAWDOWN_PCT, Metric.ORDER_VALUE, Metric.ORDER_QUANTITY)
SCOPES = {Metric.ISSUER_PCT: Scope.ISSUER, Metric.MARGIN_PCT: Scope.ACCOUNT}
BLOCKING = st.sampled_from([Action.BLOCK_INCREASING, Action.REDUCE_ONLY, Action.KILL, Action.CONFIRM])


@st.composite
def orders(draw: st.DrawFn) -> OpenOrder:
    of = draw(st.sampled_from([ISIN, "INE002A01018"]))
    return standing(draw(st.sampled_from(list(Side))), draw(st.integers(1, 900)), issuer=of, instrument=of)


@st.composite
def books(draw: st.DrawFn, value: int | None = None) -> dict[str, Any]:
    own = draw(MONEY) if value is None else Decimal(value)
    rest = draw(st.integers(0, 5_000_000).map(Decimal))
    return {
        "book": book(
            gross=abs(own) + rest,
            issuers=abs(own) + rest,
            sectors=abs(own) + rest,
            by_segment={"EQUITY": abs(own) + rest},
            instrument=own,
            issuer=own,
            sector=own,
            equity=draw(st.integers(1, 10_000_000).map(Decimal)),
            day_loss_pct=draw(LEVELS),
            drawdown_pct=draw(LEVELS),
        ),
        "orders": tuple(draw(st.lists(orders(), max_size=4))),
        "accounts": {HERE: AccountRisk(used=draw(st.integers(0, 10**6).map(Decimal)), available=Decimal(10**5))},
    }


def rows(draw: st.DrawFn, metric: Metric, level: Decimal, action: Action) -> SetLimit:
    scaled = level * 10_000 if metric in (Metric.GROSS_EXPOSURE, Metric.ORDER_VALUE) else level
    return limit(metric, str(scaled), scope=SCOPES.get(metric, Scope.GLOBAL), action=action)


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_tighter_limits_never_let_more_through(data: st.DataObject) -> None:
    of_risk, metric, action = data.draw(books()), data.draw(st.sampled_from(OF_ALL)), data.draw(BLOCKING)
    loose, tight = sorted((data.draw(LEVELS), data.draw(LEVELS)), reverse=True)
    side, quantity = data.draw(st.sampled_from(list(Side))), data.draw(st.integers(1, 1000))
    asked = wanted(quantity, side=side, product=data.draw(st.sampled_from([Product.CNC, Product.MIS])))
    severity = []
    for level in (loose, tight):
        of = held({**of_risk, "limits": (rows(data.draw, metric, level, action),)})
        severity.append([SEVERITY[each.verdict] for each in run(of, asked)])
    assert all(tighter >= looser for looser, tighter in zip(*severity, strict=True))


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_what_reduces_passes_whatever_is_overstepped(data: st.DataObject) -> None:
    """A sale of shares that are owned, no larger than what the book has, and be every limit at its smallest."""
    of_risk = data.draw(books(1_500_000))
    of_risk["orders"] = tuple(each for each in of_risk["orders"] if each.side is Side.BUY)
    of_risk["limits"] = tuple(rows(data.draw, metric, Decimal(1), data.draw(BLOCKING)) for metric in OF_ALL)
    asked = wanted(data.draw(st.integers(1, 1000)), side=Side.SELL)
    checked = run(held(of_risk), asked)
    assert [each.verdict for each in checked if each.verdict is Verdict.DENY] == []
    assert [each.verdict for each in checked if each.verdict is Verdict.CONFIRM] == []


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_more_that_stands_never_lets_more_through(data: st.DataObject) -> None:
    """For purchases: orders that stand only add to what may come of them."""
    of_risk, metric = data.draw(books(10**6)), data.draw(st.sampled_from(OF_BOOK[:4]))
    row = rows(data.draw, metric, data.draw(LEVELS), Action.BLOCK_INCREASING)
    extra = standing(Side.BUY, data.draw(st.integers(1, 900)))
    found = []
    for more in ((), (extra,)):
        of = facts(of_risk={**of_risk, "orders": (*of_risk["orders"], *more), "limits": (row,)})
        found.append(SEVERITY[run(of, wanted())[9].verdict])
    assert found[0] <= found[1]


def test_the_limits_that_everybody_begins_with_let_an_ordinary_order_through() -> None:
    rows = tuple(SetLimit(limit=each, evaluated=True) for each in DEFAULTS)
    checked = run(facts(of_risk={"limits": rows}), wanted())
    assert {each.verdict for each in checked} == {Verdict.PASS}
    assert isinstance(rows[0].limit, Limit)
