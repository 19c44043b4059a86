"""What an order that stands may become, and what is said of accounts: pure, from facts."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from brokers.clearance import Answer as Light
from brokers.dealing import OrderChange
from brokers.domain import Exchange, InstrumentKind, OrderType, Product, Side, Validity
from orders import deciding, ruling
from orders.decisions import Decision
from orders.examples import DATA, READER
from orders.facts import Account, Facts, Listed, Market, Priced, Resting, Tradable, Wanted, Why
from orders.models import ChildOrder
from orders.tariffs import Rates
from tests.orders.checks.samples import risk
from tests.orders.conftest import NOW

HERE, THERE = UUID(int=1), UUID(int=2)


def account(key: UUID, name: str, **changed: Any) -> Account:
    said: dict[str, Any] = {
        "connection_id": str(key),
        "broker_type": "zerodha",
        "name": name,
        "rank": key.int,
        "trading_enabled": True,
        "trade": Light.YES,
        "sell": Light.YES,
        "segments": {"EQUITY": "YES", "FNO": "YES"},
        "products": tuple(Product),
        "order_types": tuple(OrderType),
        "answered": True,
        "as_of": NOW,
        "available": Decimal(1_000_000),
        "listed": {"NSE": Listed(broker_token="1", tradingsymbol="INFY")},
        "rate_tokens": 8,
        "squared_off_at": NOW + timedelta(hours=5),
    }
    return Account(**said | changed)


# --- a change ---------------------------------------------------------------------------------------------------------
FUTURE = Tradable(
    instrument_id=1,
    exchange=Exchange.NFO,
    exchange_token="1",
    tradingsymbol="INFY26NOVFUT",
    kind=InstrumentKind.FUTURE,
    lot_size=Decimal(10),
    tick_size=Decimal("0.05"),
    freeze_quantity=Decimal(1000),
    banned=True,
)


def child(**changed: Any) -> ChildOrder:
    said: dict[str, Any] = {
        "broker_connection_id": HERE,
        "exchange": "NFO",
        "side": "SELL",
        "product": "NRML",
        "filled_quantity": Decimal(0),
        "changes": 0,
    }
    return ChildOrder(**said | changed)


def broken(
    position: int | None, quantity: int, *, freeze: int | None = None, resting: tuple[Resting, ...] = (), **of: Any
) -> list[str]:
    listed = {"NFO": Listed(broker_token="1", tradingsymbol="F", freeze_quantity=freeze and Decimal(freeze))}
    positions = {} if position is None else {"NFO:NRML": Decimal(position)}
    facts = Facts(
        now=NOW,
        tradables={"NFO": FUTURE},
        prices={},
        markets={"NFO": Market(phase="CONTINUOUS")},
        accounts=(account(HERE, "Here", positions=positions, listed=listed), account(THERE, "There")),
        resting=resting,
    )
    change = OrderChange(
        order_type=OrderType.LIMIT, validity=Validity.DAY, quantity=Decimal(quantity), price=Decimal(1500)
    )
    return [each.code for each in ruling.broken_by_change(facts, child(**of), change, 25)]


@pytest.mark.parametrize(
    ("position", "filled", "quantity", "codes"),
    [
        (100, 0, 100, []),
        (100, 0, 110, ["fno_ban"]),
        (60, 40, 100, []),  # what is filled was of the position before
        (60, 40, 110, ["fno_ban"]),
        (-100, 0, 100, ["fno_ban"]),
        (None, 0, 100, ["fno_ban"]),
    ],
)
def test_in_the_ban_an_order_that_reduces_may_be_changed(
    position: int | None, filled: int, quantity: int, codes: list[str]
) -> None:
    assert broken(position, quantity, filled_quantity=Decimal(filled)) == codes


def test_a_purchase_that_closes_a_short_position_may_be_changed_too() -> None:
    assert broken(-60, 100, side="BUY", filled_quantity=Decimal(40)) == []
    assert broken(-60, 110, side="BUY", filled_quantity=Decimal(40)) == ["fno_ban"]


def test_the_smaller_freeze_quantity_counts() -> None:
    assert broken(2000, 1010) == ["above_freeze"]
    assert broken(2000, 510, freeze=500) == ["above_freeze"]
    assert broken(2000, 500, freeze=500) == []


def test_so_many_changes_and_no_more() -> None:
    assert broken(100, 100, changes=24) == []
    assert broken(100, 100, changes=25) == ["too_many_changes"]


def test_it_may_meet_ones_own_order_at_the_same_broker_alone() -> None:
    def bid(at: UUID, price: int) -> Resting:
        return Resting(
            connection_id=str(at),
            exchange=Exchange.NFO,
            side=Side.BUY,
            price=Decimal(price),
            quantity=Decimal(10),
        )

    assert broken(100, 100, resting=(bid(THERE, 1500),)) == ["self_trade"]
    assert broken(100, 100, resting=(bid(THERE, 1499), bid(HERE, 1500))) == []


# --- what is said of a decision ---------------------------------------------------------------------------------------
SHARE = Tradable(
    instrument_id=1,
    exchange=Exchange.NSE,
    exchange_token="1594",
    tradingsymbol="INFY",
    kind=InstrumentKind.EQUITY,
    isin="INE009A01021",
    tick_size=Decimal("0.05"),
    last_seen_on=NOW.date(),
)


def decided(*accounts: Account) -> Decision:
    facts = Facts(
        now=NOW,
        tradables={"NSE": SHARE},
        prices={"NSE": Priced(last_price=Decimal(1540), as_of=NOW, by="zerodha")},
        markets={"NSE": Market(phase="CONTINUOUS")},
        accounts=accounts,
        risk=risk(),
    )
    wanted = Wanted(
        instrument_id=1,
        side=Side.BUY,
        order_type=OrderType.LIMIT,
        product=Product.CNC,
        quantity=Decimal("50.0000"),
        price=Decimal("1540.0000"),
    )
    return deciding.decide(facts, wanted, Rates(READER.decode(DATA.read_bytes())))


def unsure(name: str) -> dict[str, Any]:
    reason = Why(code="registered_ip_unknown", words=f"The address of {name} is not known.", remedy="Tell it.")
    return {"trade": Light.UNKNOWN, "trade_reasons": (reason,)}


def test_of_the_chosen_accounts_alone_it_is_said_what_is_not_known() -> None:
    both = decided(account(HERE, "Here", **unsure("Here")), account(THERE, "There", **unsure("There")))
    assert [each.connection_id for each in both.answer.children] == [str(HERE)]
    assert [each.words for each in both.answer.warnings] == ["The address of Here is not known."]
    assert decided(account(HERE, "Here"), account(THERE, "There", **unsure("There"))).answer.warnings == ()


def test_an_account_that_is_left_out_is_named_once() -> None:
    answer = decided(
        account(HERE, "Here"),
        account(THERE, "Zerodha DM4821", listed={}),
        account(UUID(int=3), "Poor", available=Decimal(1)),
    ).answer
    words = {each.name: each.words for each in answer.excluded}
    assert words["Zerodha DM4821"].count("Zerodha DM4821") == 1
    assert words["Poor"].count("Poor") == 1
    assert answer.next_best is None


def test_money_and_prices_are_tidy() -> None:
    decision = decided(account(HERE, "Here"), account(THERE, "There"))
    answer = decision.stored_answer()
    assert answer["value"] == "77000.00"
    assert [(child["price"], child["quantity"], child["trigger_price"]) for child in answer["children"]] == [
        ("1540", "50", None)
    ]
    assert answer["next_best"]["connection_ids"] == [str(THERE)]
    assert answer["next_best"]["difference"] == "0.00"
    assert deciding.replayed(decision.stored_problem()).stored_answer() == answer
