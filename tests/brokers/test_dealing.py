"""The words of dealing: what never leaves because a broker, or the regulator, does not take it."""

from __future__ import annotations

from decimal import Decimal

import pytest

from brokers.dealing import Traded, reversed_table, sent_as, validity_sent_as, written
from brokers.domain import Exchange, InstrumentKind, Listing, OrderType, Validity
from brokers.errors import NotSupported

VALIDITIES = {Validity.DAY: "DAY", Validity.IOC: "IOC"}


def traded(exchange: Exchange, multiplier: int = 1) -> Traded:
    listing = Listing(exchange=exchange, tradingsymbol="GOLDM26DECFUT", broker_token="1")
    return Traded(listing=listing, kind=InstrumentKind.FUTURE, multiplier=Decimal(multiplier))


def test_a_broker_is_told_what_it_counts() -> None:
    assert traded(Exchange.MCX, 100).counted(Decimal("300.0000")) == 3
    assert traded(Exchange.MCX, 100).units(Decimal(3)) == 300
    with pytest.raises(NotSupported, match="no whole number") as caught:
        traded(Exchange.MCX, 100).counted(Decimal(250))
    assert caught.value.code == "odd_quantity"


def test_a_word_that_a_broker_lacks_is_refused_before_anything_is_sent() -> None:
    with pytest.raises(NotSupported) as caught:
        sent_as({OrderType.LIMIT: "L"}, OrderType.MARKET, "order_type")
    assert caught.value.code == "order_type_not_offered"


def test_no_ioc_order_goes_to_mcx() -> None:
    assert validity_sent_as(VALIDITIES, traded(Exchange.NFO), Validity.IOC) == "IOC"
    assert validity_sent_as(VALIDITIES, traded(Exchange.MCX), Validity.DAY) == "DAY"
    with pytest.raises(NotSupported) as caught:
        validity_sent_as(VALIDITIES, traded(Exchange.MCX), Validity.IOC)
    assert caught.value.code == "ioc_not_on_mcx"


def test_of_several_words_for_one_of_ours_the_first_is_sent() -> None:
    assert reversed_table({"SL": 1, "STOP": 1, "DAY": 2}) == {1: "SL", 2: "DAY"}


@pytest.mark.parametrize(
    ("amount", "text"), [("1500.0000", "1500"), ("0.0500", "0.05"), ("1000", "1000"), ("72.7550", "72.755")]
)
def test_a_price_is_written_without_needless_zeros(amount: str, text: str) -> None:
    assert str(written(Decimal(amount))) == text
    assert written(None) == 0
