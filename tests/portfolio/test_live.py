"""Books that move with every tick, worked by hand."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

from brokers.domain import Exchange, Product
from portfolio.consolidate import consolidate
from portfolio.deltas import apply_delta, differences
from portfolio.domain import PriceState, Source, SourceState
from portfolio.live import LiveBook, LiveBooks
from portfolio.marks import believed
from portfolio.presentation import present
from tests.portfolio.sources import (
    BSE_INFY,
    INFY,
    LISTINGS,
    NIFTY_FUTURE,
    NOW,
    NSE_INFY,
    SBIN,
    account,
    future,
    holding,
    lent,
    of,
    position,
    source,
    told,
)
from tests.samples import live_client


def live(*sources: Source, **more: Any) -> tuple[LiveBooks, LiveBook]:
    watched = LiveBooks(LISTINGS)
    return watched, watched.hold(1, sources, **more)


def test_a_tick_moves_the_share_and_every_sum_it_is_in() -> None:
    """10 INFY bought at 100 and 5 SBIN bought at 200, both worth what the broker said, until INFY ticks to 120."""
    watched, book = live(
        source("zerodha", account([holding(INFY, 10), holding(SBIN, 5, average="200", last="210", close="205")]))
    )
    before = book.portfolio(NOW)
    assert (before.total_value, before.unrealized_pnl, before.day_change) == (2150, 150, 75)
    assert watched.apply(NSE_INFY, told("120", "104")) == {1}
    after = book.portfolio(NOW)
    assert (after.total_value, after.unrealized_pnl, after.day_change) == (2250, 250, 185)
    assert after.unrealized_pnl_percent == Decimal("12.5")
    infy = of(after, INFY)
    assert (infy.current_price, infy.close_price, infy.current_value) == (120, 104, 1200)
    assert (infy.price_state, infy.price_source) == (PriceState.STREAMED, "zerodha")
    assert of(after, SBIN) == replace(of(before, SBIN), weight_percent=of(after, SBIN).weight_percent)
    [line] = after.broker_breakdown
    assert (line.total_value, line.unrealized_pnl, line.day_change) == (2250, 250, 185)
    [kind] = after.asset_allocation
    assert kind.current_value == 2250


def test_a_withdrawn_or_stale_price_falls_back_to_the_broker_that_holds_the_share() -> None:
    watched, book = live(source("zerodha", account([holding(INFY, 10)])))
    before = book.portfolio(NOW)
    for gone in (None, told("130", stale=True)):
        watched.apply(NSE_INFY, told("120"))
        assert of(book.portfolio(NOW), INFY).price_state is PriceState.STREAMED
        assert watched.apply(NSE_INFY, gone) == {1}
        assert book.portfolio(NOW) == before


def test_an_asked_price_is_marked_and_gives_way_to_a_streamed_one() -> None:
    watched, book = live(source("zerodha", account([holding(INFY, 10)])))
    asked = replace(told("120"), asked=True)
    assert watched.apply(NSE_INFY, asked) == {1}
    assert of(book.portfolio(NOW), INFY).price_state is PriceState.ASKED
    assert not book.reconcile(NOW)
    assert watched.apply(NSE_INFY, told("120")) == {1}
    assert of(book.portfolio(NOW), INFY).price_state is PriceState.STREAMED
    assert not book.reconcile(NOW)
    bse = replace(told("119"), exchange=Exchange.BSE)
    assert believed([asked, bse]) == bse
    assert believed([told("120"), bse]) == told("120")


def test_a_streamed_price_stands_before_a_lent_and_a_stale_one() -> None:
    watched, book = live(
        source("zerodha", account([holding(INFY, 10)], age=600), state=SourceState.STALE),
        borrowed={INFY: lent("111", "105")},
    )
    assert of(book.portfolio(NOW), INFY).price_state is PriceState.BORROWED
    watched.apply(NSE_INFY, told("112"))
    share = of(book.portfolio(NOW), INFY)
    assert (share.price_state, share.current_price, share.close_price) == (PriceState.STREAMED, 112, 105)


def test_of_two_listings_that_stream_nse_prices_the_share() -> None:
    watched, book = live(source("zerodha", account([holding(INFY, 10)])))
    watched.apply(BSE_INFY, told("121", "106", exchange=Exchange.BSE))
    assert of(book.portfolio(NOW), INFY).current_price == 121
    assert watched.apply(NSE_INFY, told("120", "104")) == {1}
    assert watched.apply(BSE_INFY, told("122", "106", exchange=Exchange.BSE)) == set()
    assert of(book.portfolio(NOW), INFY).current_price == 120
    watched.apply(NSE_INFY, told("120", "104", stale=True))
    share = of(book.portfolio(NOW), INFY)
    assert (share.current_price, share.close_price) == (122, 106)


def test_a_streamed_price_is_never_held_against_another_exchanges_or_days_close() -> None:
    watched, book = live(source("zerodha", account([holding(INFY, 10, close="105")])))
    watched.apply(BSE_INFY, told("120", exchange=Exchange.BSE))
    share = of(book.portfolio(NOW), INFY)
    assert (share.current_price, share.close_price, share.day_change) == (120, None, None)
    assert book.portfolio(NOW).coverage.without_day_change == 1
    watched.apply(NSE_INFY, told("120"))
    assert of(book.portfolio(NOW), INFY).day_change == 150
    watched.apply(NSE_INFY, replace(told("121"), as_of=NOW + timedelta(days=1)))
    assert of(book.portfolio(NOW), INFY).day_change is None


def test_a_first_price_makes_the_unknown_known_and_its_end_unknown_again() -> None:
    watched, book = live(source("zerodha", account([holding(INFY, 10, last=None, close=None)])))
    assert (book.portfolio(NOW).total_value, book.portfolio(NOW).complete) == (None, False)
    watched.apply(NSE_INFY, told("120", "115"))
    now_known = book.portfolio(NOW)
    assert (now_known.total_value, now_known.day_change, now_known.complete) == (1200, 50, True)
    watched.apply(NSE_INFY, None)
    assert (book.portfolio(NOW).total_value, book.portfolio(NOW).unrealized_pnl) == (None, None)


def test_a_contract_moves_at_every_broker_that_holds_it() -> None:
    """Long 75 at one, short 25 at another, both opened at 24,000 today."""
    watched, book = live(
        source("zerodha", account(positions=[future(75)])), source("upstox", account(positions=[future(-25)]))
    )
    assert book.portfolio(NOW).trading.unrealized_pnl == 5000
    assert watched.apply(NIFTY_FUTURE, told("24210", "24050", exchange=Exchange.NFO)) == {1}
    after = book.portfolio(NOW)
    assert (after.trading.unrealized_pnl, after.trading.day_pnl, after.trading.realized_pnl) == (10500, 10500, 0)
    [contract] = after.derivatives
    assert (contract.current_price, contract.unrealized_pnl, contract.net_quantity) == (24210, 10500, 50)
    assert [line.unrealized_pnl for line in after.trading_positions] == [15750, -5250]
    assert after.total_value == 0


def test_an_intraday_row_moves_with_its_own_listing_alone() -> None:
    row = position(10, isin=INFY, product=Product.MIS, exchange=Exchange.BSE, exchange_token="500209")
    watched, book = live(source("zerodha", account(positions=[row])))
    assert watched.apply(NSE_INFY, told("150")) == set()
    assert watched.apply(BSE_INFY, told("130", exchange=Exchange.BSE)) == {1}
    [line] = book.portfolio(NOW).trading_positions
    assert (line.current_price, line.unrealized_pnl, line.day_pnl) == (130, 300, 300)


def test_a_tick_touches_only_those_who_hold_the_share() -> None:
    watched = LiveBooks(LISTINGS)
    for user_id, isin in ((1, INFY), (2, SBIN), (3, INFY)):
        watched.hold(user_id, [source("zerodha", account([holding(isin, 10)]))])
    assert watched.apply(NSE_INFY, told("120")) == {1, 3}
    assert watched.apply(NSE_INFY, told("120")) == set()
    assert watched.apply((Exchange.NSE, "999"), told("1")) == set()
    watched.drop(3)
    watched.drop(4)
    assert watched.apply(NSE_INFY, told("121")) == {1}


def test_who_leaves_leaves_nothing_behind() -> None:
    watched = LiveBooks(LISTINGS)
    for user_id in (1, 2):
        watched.hold(user_id, [source("zerodha", account([holding(INFY), holding(SBIN)], [future()]))])
    assert watched.wanted == {INFY, SBIN, NIFTY_FUTURE}
    watched.hold(1, [source("zerodha", account([holding(SBIN)]))])
    watched.drop(2)
    assert watched.wanted == {SBIN}
    watched.drop(1)
    assert (watched.wanted, watched.books) == (set(), {})


def test_who_comes_later_stands_at_the_price_that_streams() -> None:
    watched = LiveBooks(LISTINGS)
    watched.apply(NSE_INFY, told("120"))
    book = watched.hold(1, [source("zerodha", account([holding(INFY, 10)]))])
    assert book.portfolio(NOW).total_value == 1200
    assert book.changes(NOW).is_empty


def test_who_comes_after_a_stream_fell_silent_stands_at_the_brokers_prices() -> None:
    watched = LiveBooks(LISTINGS)
    for instrument in (NSE_INFY, NIFTY_FUTURE):
        watched.apply(instrument, told("24500", exchange=instrument[0]))
        watched.apply(instrument, None)
    answer = source("zerodha", account([holding(INFY, 10)], [future()]))
    assert watched.hold(1, [answer]).portfolio(NOW) == consolidate(1, [answer], now=NOW)


# --- deltas -----------------------------------------------------------------------------------------------------------
def test_a_delta_has_what_changed_and_nothing_else() -> None:
    watched, book = live(source("zerodha", account([holding(INFY, 10), holding(SBIN, 5)], [future()])))
    assert book.changes(NOW).is_empty
    watched.apply(NSE_INFY, told("119"))
    watched.apply(NSE_INFY, told("120"))
    delta = book.changes(NOW)
    assert [(row.key, row.current_price) for row in delta.moved] == [(INFY, 120)]
    assert (delta.positions, delta.removed, delta.trading_positions, delta.derivatives) == ((), (), (), ())
    assert (delta.funds, delta.sources) == (None, None)
    assert delta.total_value == 1200 + 550
    assert book.changes(NOW).is_empty
    watched.apply(NIFTY_FUTURE, told("24210", exchange=Exchange.NFO))
    delta = book.changes(NOW)
    assert (delta.positions, delta.moved) == ((), ())
    assert [(each.place, each.row.current_price) for each in delta.trading_positions] == [(0, 24210)]
    assert [(each.place, each.row.current_price) for each in delta.derivatives] == [(0, 24210)]


def test_a_fresh_answer_yields_the_rows_it_changes() -> None:
    watched, book = live(source("zerodha", account([holding(INFY, 10), holding(SBIN, 5)])))
    watched.apply(NSE_INFY, told("120", "104"))
    before = book.portfolio(NOW)
    assert not book.replace_sources([source("zerodha", account([holding(INFY, 10), holding(SBIN, 5)]))])
    book.changes(NOW)
    assert book.replace_sources([source("zerodha", account([holding(INFY, 12)], age=1))])
    delta = book.changes(NOW)
    assert [(row.key, row.total_quantity) for row in delta.positions] == [(INFY, 12)]
    assert (delta.moved, delta.removed) == ((), (SBIN,))
    assert delta.sources is not None
    assert delta.total_value == 1440
    assert apply_delta(before, delta) == book.portfolio(NOW)


def test_an_answer_does_not_hide_ticks_that_nobody_has_read() -> None:
    watched, book = live(source("zerodha", account([holding(INFY, 10)], [future()])))
    watched.apply(NSE_INFY, told("120", "104"))
    watched.apply(NIFTY_FUTURE, told("24210", "24050", exchange=Exchange.NFO))
    book.replace_sources([source("zerodha", account([holding(INFY, 10)], [future()], age=1))])
    delta = book.changes(NOW)
    assert [row.current_price for row in delta.positions] == [120]
    assert [each.row.current_price for each in delta.derivatives] == [24210]


def test_a_contract_whose_average_nobody_knows_moves_todays_profit_alone() -> None:
    row = replace(future(), average_price=None)
    watched, book = live(source("zerodha", account(positions=[row])))
    for price in ("24200", "24210"):
        watched.apply(NIFTY_FUTURE, told(price, "24050", exchange=Exchange.NFO))
    trading = book.portfolio(NOW).trading
    assert (trading.unrealized_pnl, trading.realized_pnl, trading.day_pnl) == (None, None, 15750)


def test_what_was_unknown_while_the_price_moved_is_right_once_it_is_known() -> None:
    """75 carried over from yesterday, whose close the stream tells late."""
    row = replace(
        future(close=None), overnight_quantity=Decimal(75), day_buy_quantity=Decimal(0), day_buy_value=Decimal(0)
    )
    watched, book = live(source("zerodha", account(positions=[row])))
    for price in ("24200", "24205", "24210"):
        watched.apply(NIFTY_FUTURE, told(price, exchange=Exchange.NFO))
        assert book.portfolio(NOW).trading.day_pnl is None
    watched.apply(NIFTY_FUTURE, told("24210", "24050", exchange=Exchange.NFO))
    assert book.portfolio(NOW).trading.day_pnl == 12000


def test_a_delta_is_written_like_a_portfolio() -> None:
    watched, book = live(source("zerodha", account([holding(INFY, 10)], [future()])))
    watched.apply(NSE_INFY, told("120.05"))
    watched.apply(NIFTY_FUTURE, told("24210", exchange=Exchange.NFO))
    shown = present(book.changes(NOW))
    assert shown["total_value"] == "1200.50"
    [moved], [row] = shown["moved"], present(book.portfolio(NOW))["positions"]
    assert live_client.moved(row, moved) == row
    assert (moved["current_price"], moved["current_value"]) == ("120.05", "1200.50")
    assert [part["current_value"] for part in moved["parts"]] == ["1200.50"]
    assert shown["derivatives"] == [{"place": 0, "row": present(book.portfolio(NOW))["derivatives"][0]}]
    assert shown["sources"] is None


def test_a_moved_row_fits_whatever_of_it_somebody_has_seen() -> None:
    """Of a price that goes there and back, a snapshot in between shows the one, the delta before it the other."""
    watched, book = live(source("zerodha", account([holding(INFY, 10)])))
    watched.apply(NSE_INFY, told("120", "104"))
    book.changes(NOW)
    before = book.portfolio(NOW)
    watched.apply(NSE_INFY, told("121", "104"))
    between = book.portfolio(NOW)
    watched.apply(NSE_INFY, told("120", "104"))
    delta = book.changes(NOW)
    assert apply_delta(before, delta) == apply_delta(between, delta) == book.portfolio(NOW)


def test_a_row_whose_price_moved_is_told_in_a_third_of_its_length() -> None:
    several = [source(slug, account([holding(INFY, 10)])) for slug in ("zerodha", "upstox")]
    watched, book = live(*several)
    watched.apply(NSE_INFY, told("120", "104"))
    [moved], [row] = present(book.changes(NOW))["moved"], present(book.portfolio(NOW))["positions"]
    assert len(json.dumps(moved)) * 3 < len(json.dumps(row))


def test_differences_name_the_field() -> None:
    _, book = live(source("zerodha", account([holding(INFY, 10)])))
    right = book.portfolio(NOW)
    wrong = replace(right, total_value=Decimal(1), positions=(replace(right.positions[0], symbol="X"),))
    assert [(each.field, each.live, each.recomputed) for each in differences(wrong, right)] == [
        ("total_value", 1, 1100),
        (f"positions[{INFY}].symbol", "X", "INFY"),
    ]
    assert [each.field for each in differences(replace(right, positions=()), right)] == ["positions"]


def test_reconciling_finds_a_sum_that_went_wrong() -> None:
    _, book = live(source("zerodha", account([holding(INFY, 10)])))
    assert book.reconcile(NOW) == []
    book._state.totals.day.amount += 1
    assert [each.field for each in book.reconcile(NOW)] == ["day_change", "day_change_percent"]
