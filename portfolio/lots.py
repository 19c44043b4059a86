"""One broker's answer into lots of shares owned, and positions merely traded. Pure.

Here today's dealing meets yesterday's holdings: shares bought today count as owned, a sale out of holdings is taken out
once and not twice, and a listing that nobody can match stays under its own broker.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal

from brokers.domain import ZERO, BrokerPortfolio, Exchange, Holding, Position, Product
from portfolio.domain import Source, TradeKind


@dataclass(frozen=True, slots=True, kw_only=True)
class Lot:
    """Shares of one listing at one broker under one product. `key` is the ISIN, or names a listing we cannot match."""

    source: Source
    key: str
    isin: str | None
    exchange: Exchange
    symbol: str
    company_name: str | None
    product: Product
    settled: Decimal = ZERO
    t1: Decimal = ZERO
    pledged: Decimal = ZERO
    today: Decimal = ZERO
    average_price: Decimal | None
    last_price: Decimal | None
    close_price: Decimal | None
    funded_amount: Decimal | None = None
    paid_today: Decimal = ZERO  # on balance, by the row of today's dealing; never below zero
    sale_unsettled: bool = False

    # Both follow from the rest; they are asked for twenty times per lot, and so computed once.
    quantity: Decimal = field(init=False)
    cost: Decimal | None = field(init=False)

    def __post_init__(self) -> None:
        quantity = self.settled + self.t1 + self.pledged + self.today
        object.__setattr__(self, "quantity", quantity)
        object.__setattr__(self, "cost", None if self.average_price is None else quantity * self.average_price)

    @property
    def is_borrowed(self) -> bool:
        """Carried shares that a broker lent for. Those bought today are not paid for yet (docs/adr/0006)."""
        return self.product is Product.MTF and self.quantity != self.today

    @property
    def owes_unknown(self) -> bool:
        return self.is_borrowed and self.funded_amount is None


@dataclass(frozen=True, slots=True, kw_only=True)
class Trade:
    """One position row of one broker. `sold` is set for a sale out of holdings, `owned` the holding it is out of."""

    source: Source
    position: Position
    kind: TradeKind
    sold: Decimal = ZERO
    owned: Holding | None = None

    @property
    def share(self) -> str:
        """The ISIN of what a sale out of holdings is of; empty where that is not known, and of all else."""
        return (self.owned.isin or "") if self.owned else ""


def owned_before_sales(portfolio: BrokerPortfolio, previous: Mapping[str, Decimal]) -> dict[str, Decimal]:
    """What to remember of this answer (ISIN → quantity), so that a later sale can be told from an earlier one.

    Shares with a sale of today on the books keep what was remembered before it.
    """
    sold = {key for position in portfolio.positions if _is_sale(position) for key in _names(position)}
    remembered: dict[str, Decimal] = defaultdict(Decimal)
    for holding in portfolio.holdings:
        if holding.isin is None or holding.product is not Product.CNC:
            continue
        if sold.isdisjoint(_names(holding)):
            remembered[holding.isin] += holding.owned_quantity
        elif holding.isin in previous:
            remembered[holding.isin] = previous[holding.isin]
    return dict(remembered)


Directory = Mapping[tuple[str, str], Holding]


def directory_of(sources: Iterable[Source]) -> Directory:
    """Who is who: (exchange, symbol) → a holding that carries the ISIN. The first source in order wins."""
    found: dict[tuple[str, str], Holding] = {}
    for source in sources:
        for holding in source.portfolio.holdings if source.portfolio else ():
            if holding.isin:
                found.setdefault((holding.exchange, holding.tradingsymbol), holding)
    return found


def split(source: Source, directory: Directory) -> tuple[list[Lot], list[Trade]]:
    """What the source owns, and what it merely trades."""
    assert source.portfolio is not None  # noqa: S101 - for the type checker
    holdings = list(source.portfolio.holdings)
    lots: list[Lot] = []
    trades: list[Trade] = []
    sales: dict[str, Decimal] = defaultdict(Decimal)
    for position in source.portfolio.positions:
        if not position.is_delivery:
            kind = TradeKind.INTRADAY if position.exchange in (Exchange.NSE, Exchange.BSE) else TradeKind.DERIVATIVE
            trades.append(Trade(source=source, position=position, kind=kind))
            continue
        owned = _holding_of(position, holdings)
        bought = _net_today(position, owned)
        if bought > 0:
            lots.append(_bought(source, position, bought, owned, directory))
        elif bought < 0:
            sales[_sold_key(position, owned)] -= bought
            kind = TradeKind.SALE_OF_HOLDING
            trades.append(Trade(source=source, position=position, kind=kind, sold=-bought, owned=owned))
        elif position.quantity == 0:
            trades.append(Trade(source=source, position=position, kind=TradeKind.CLOSED_DELIVERY))
    for holding in holdings:
        lots.append(_settle_sale(_held(source, holding, directory), holding, sales))
    return [lot for lot in lots if lot.quantity], trades


def _held(source: Source, holding: Holding, directory: Directory) -> Lot:
    isin, key, company = _identity(source, holding, directory)
    return Lot(
        source=source,
        key=key,
        isin=isin,
        exchange=holding.exchange,
        symbol=holding.tradingsymbol,
        company_name=holding.company_name or company,
        product=holding.product,
        settled=holding.settled_quantity,
        t1=holding.t1_quantity,
        pledged=holding.pledged_quantity,
        average_price=holding.average_price,
        last_price=holding.last_price,
        close_price=holding.close_price,
        funded_amount=holding.funded_amount,
    )


def _settle_sale(lot: Lot, holding: Holding, sales: dict[str, Decimal]) -> Lot:
    """Take today's sale out of a holding that still counts it; where that cannot be told, leave it and mark it."""
    if holding.sales_deducted:
        return lot
    if holding.sales_deducted is False:
        return _less(lot, holding.used_quantity)
    sold = sales.pop(_sold_key(holding, holding), ZERO)
    if not sold:  # blocked by open orders: nothing has been sold
        return lot
    before = lot.source.owned_before_sales.get(lot.isin or "") if holding.product is Product.CNC else None
    if before is not None and lot.quantity == before - sold:
        return lot
    if before is not None and lot.quantity == before:
        return _less(lot, sold)
    return replace(lot, sale_unsettled=True)


def _less(lot: Lot, sold: Decimal) -> Lot:
    """Sold shares leave the free ones first, then T1, then the pledged ones; never more than there are."""
    left = sold
    remaining = []
    for quantity in (lot.settled, lot.t1, lot.pledged):
        taken = min(quantity, left)
        remaining.append(quantity - taken)
        left -= taken
    return replace(lot, settled=remaining[0], t1=remaining[1], pledged=remaining[2], sale_unsettled=left > 0)


def _net_today(position: Position, owned: Holding | None) -> Decimal:
    """Shares that today's dealing added or took: a carried part is in the holdings already, if they know the share."""
    return position.quantity - position.overnight_quantity if owned is not None else position.quantity


def _is_sale(position: Position) -> bool:
    return position.is_delivery and position.quantity - position.overnight_quantity < 0


def _names(line: Holding | Position) -> set[str]:
    """Under what a line of one broker can be recognised in another list of that broker."""
    return {name for name in (line.isin, line.broker_token, f"{line.exchange}:{line.tradingsymbol}") if name}


def _holding_of(position: Position, holdings: Iterable[Holding]) -> Holding | None:
    names = _names(position)
    same = (line for line in holdings if line.product is position.product and not names.isdisjoint(_names(line)))
    return next(same, None)


def _sold_key(line: Holding | Position, owned: Holding | None) -> str:
    known = owned or line
    return f"{line.product}:{known.isin or known.broker_token}"


def _bought(source: Source, position: Position, bought: Decimal, owned: Holding | None, directory: Directory) -> Lot:
    isin, key, company = _identity(source, owned or position, directory)
    # A carried part is here only where no holding shows it: bought before today, and still on its way.
    carried = min(bought, max(ZERO, position.overnight_quantity)) if owned is None else ZERO
    is_funded = position.product is Product.MTF
    return Lot(
        source=source,
        key=key,
        isin=isin,
        exchange=position.exchange,
        symbol=position.tradingsymbol,
        company_name=(owned.company_name if owned else None) or position.company_name or company,
        product=position.product,
        settled=carried if is_funded else ZERO,
        t1=ZERO if is_funded else carried,
        today=bought - carried,
        paid_today=max(ZERO, position.day_buy_value - position.day_sell_value),
        average_price=position.average_price,
        last_price=position.last_price,
        close_price=position.close_price or (owned.close_price if owned else None),
    )


def _identity(source: Source, line: Holding | Position, directory: Directory) -> tuple[str | None, str, str | None]:
    """ISIN, merge key and company name. A listing nobody can match stays under its own broker: kept, never guessed."""
    known = directory.get((line.exchange, line.tradingsymbol))
    isin = line.isin or (known.isin if known else None)
    company = known.company_name if known else None
    return isin, isin or f"{source.connection_id}:{line.exchange}:{line.tradingsymbol}", company
