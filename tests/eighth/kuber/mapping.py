"""Kuber's JSON into our words. Pure. Every number on its wire is a string with commas; `-` is "not known"."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from brokers.domain import (
    ZERO,
    BrokerOrder,
    BrokerTrade,
    Funds,
    Holding,
    Listing,
    Position,
    Profile,
    Quote,
    Session,
)
from brokers.secret import Secret
from brokers.verdicts import Failure
from brokers.wire import (
    Row,
    amount,
    as_record,
    flag,
    ist,
    money,
    optional_text,
    order_status,
    positive,
    required,
    text,
    translated,
    whole,
)
from tests.eighth.kuber.instruments import place
from tests.eighth.kuber.spec import KINDS, ORDER_TYPES, SIDES, STATUSES, VALIDITIES


def failure(body: Any) -> Failure | None:
    """Read `{"ok": false, "fault": {"no", "text"}}`, which mostly comes with HTTP 200."""
    if not isinstance(body, Mapping) or body.get("ok") is True:
        return None
    fault = body.get("fault")
    fault = fault if isinstance(fault, Mapping) else {}
    return Failure(fault.get("no"), fault.get("text"))


def result(body: Any) -> Any:
    return required(as_record(body, "body"), "result")


def session(row: Any, *, expires_at: datetime) -> Session:
    row = as_record(row, "result")
    return Session(access_token=Secret(text(row, "pass")), expires_at=expires_at, account_id=text(row, "client"))


def profile(row: Any) -> Profile:
    row = as_record(row, "result")
    return Profile(account_id=text(row, "client"), name=text(row, "name"), is_active=flag(row, "open"))


def holdings(row: Row) -> list[Holding]:
    """Map one element of GET /shares. `owned` is everything; shares on their way and pledged ones are parts of it.

    A share sold today has left `owned` already.
    """
    exchange, symbol = place(text(row, "paper"))
    coming, pledged = whole(row, "coming"), whole(row, "pledged")
    return [
        Holding(
            exchange=exchange,
            tradingsymbol=symbol,
            isin=text(row, "isin"),
            broker_token=text(row, "paper"),
            settled_quantity=whole(row, "owned") - coming - pledged,
            t1_quantity=coming,
            pledged_quantity=pledged,
            used_quantity=whole(row, "sold_today"),
            average_price=positive(row, "cost"),
            last_price=positive(row, "last"),
            close_price=positive(row, "close"),
        )
    ]


def positions(row: Row) -> list[Position]:
    """Map one element of GET /deals. `carried` is signed; every price stands beside its quantity."""
    exchange, symbol = place(text(row, "paper"))
    carried, carried_value = amount(row, "carried"), amount(row, "carried") * amount(row, "carried_at")
    bought, sold = whole(row, "bought"), whole(row, "sold")
    bought_value, sold_value = bought * amount(row, "bought_at"), sold * amount(row, "sold_at")
    return [
        Position(
            exchange=exchange,
            tradingsymbol=symbol,
            isin=optional_text(row, "isin"),
            broker_token=text(row, "paper"),
            product=translated(KINDS, required(row, "kind"), "kind"),
            quantity=carried + bought - sold,
            overnight_quantity=carried,
            average_price=positive(row, "cost"),
            last_price=positive(row, "last"),
            close_price=positive(row, "close"),
            buy_value=max(carried_value, ZERO) + bought_value,
            sell_value=max(-carried_value, ZERO) + sold_value,
            day_buy_quantity=bought,
            day_buy_value=bought_value,
            day_sell_quantity=sold,
            day_sell_value=sold_value,
        )
    ]


def funds(row: Any) -> Funds:
    row = as_record(row, "result")
    return Funds(
        available=money(row, "free"), used=money(row, "used"), collateral=money(row, "pledge"), cash=money(row, "cash")
    )


def orders(row: Row) -> list[BrokerOrder]:
    """Map one element of GET /orders. An order at any price has `-` for its price."""
    exchange, symbol = place(text(row, "paper"))
    quantity, filled = whole(row, "many"), whole(row, "done")
    return [
        BrokerOrder(
            broker_order_id=text(row, "no"),
            exchange_order_id=optional_text(row, "exchange_no"),
            exchange=exchange,
            tradingsymbol=symbol,
            broker_token=text(row, "paper"),
            side=translated(SIDES, required(row, "side"), "side"),
            order_type=translated(ORDER_TYPES, required(row, "how"), "how"),
            product=translated(KINDS, required(row, "kind"), "kind"),
            validity=translated(VALIDITIES, required(row, "until"), "until"),
            quantity=quantity,
            filled_quantity=filled,
            price=positive(row, "price"),
            trigger_price=None,
            average_price=positive(row, "done_at"),
            status=order_status(STATUSES, text(row, "state"), filled, quantity),
            status_message=optional_text(row, "why"),
            tag=None,
            placed_at=ist(text(row, "when"), "when"),
        )
    ]


def trades(row: Row) -> list[BrokerTrade]:
    exchange, symbol = place(text(row, "paper"))
    return [
        BrokerTrade(
            trade_id=text(row, "fill"),
            broker_order_id=text(row, "no"),
            exchange=exchange,
            tradingsymbol=symbol,
            broker_token=text(row, "paper"),
            side=translated(SIDES, required(row, "side"), "side"),
            product=translated(KINDS, required(row, "kind"), "kind"),
            quantity=whole(row, "many"),
            price=amount(row, "price"),
            traded_at=ist(text(row, "when"), "when"),
        )
    ]


def quotes(rows: Any, asked: Mapping[str, Listing]) -> tuple[Quote, ...]:
    """Map GET /prices, an object keyed by what was asked; what is unknown there is absent."""
    found = as_record(rows, "result")
    return tuple(
        Quote(
            exchange=listing.exchange,
            broker_token=listing.broker_token,
            last_price=positive(found[paper], "last"),
            close_price=positive(found[paper], "close"),
        )
        for paper, listing in asked.items()
        if paper in found
    )
