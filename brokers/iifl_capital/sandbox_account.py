"""What IIFL Capital tells of the account, simulated; the logins and the market are in sandbox.py.

As unhelpful as the real thing: an empty book is a code, numbers and numeric texts are mixed, and a blank row ends the
holdings.
"""

from __future__ import annotations

from decimal import Decimal
from functools import cached_property

from brokers.simulation.book import Holding, Position
from brokers.simulation.dialect import Sandbox
from brokers.simulation.instruments import Listing
from brokers.simulation.wire import Call, Json, Refusal, Reply, double, json_reply

EXCHANGES = {"NSE": "NSEEQ", "BSE": "BSEEQ", "NFO": "NSEFO", "BFO": "BSEFO", "CDS": "NSECURR", "MCX": "MCXCOMM"}
PRODUCTS = {"CNC": "DELIVERY", "MIS": "INTRADAY", "NRML": "NORMAL", "MTF": "BNPL"}

BLANK_HOLDING: Json = {
    **dict.fromkeys(("isin", "nseInstrumentId", "bseInstrumentId", "nseTradingSymbol", "bseTradingSymbol"), ""),
    "formattedInstrumentName": "",
    "product": "DELIVERY",
    **dict.fromkeys(("totalQuantity", "dpQuantity", "collateralQuantity", "t1Quantity"), 0),
    "authorizedQuantity": "0",
    "averageTradedPrice": "0.00",
    "previousDayClose": None,
}


class IiflCapitalAccount(Sandbox):
    """What the API answers about the account."""

    @cached_property
    def by_number(self) -> dict[tuple[str, str], Listing]:
        """Without indices: nothing is published of how its file of them calls and numbers them."""
        known = (item for item in self.instruments if not item.is_index)
        return {(EXCHANGES[item.exchange], item.exchange_token): item for item in known}

    def profile(self, call: Call) -> Reply:
        """Masked, as published: the client's own number too."""
        account = self.book.account
        user, local = account.user_id, account.email.split("@")
        return success(
            {
                "clientId": masked(user),
                "clientName": account.name,
                "isTotpEnabled": "Y",
                "isPoaProvided": "Y",
                "accountStatus": "Na",
                "exchanges": ["BSECURR", "BSEEQ", "BSEFO", "NSECURR", "NSEEQ", "NSEFO"],
                "products": ["NORMAL", "INTRADAY", "DELIVERY", "BNPL"],
                "orderComplexity": ["REGULAR", "AMO", "BO", "CO"],
                "email": f"{local[0][:2]}**********@{local[-1]}",
                "phoneNumber": masked(account.mobile),
            }
        )

    def limits(self, call: Call) -> Reply:
        """A resident's: the same money for every segment."""
        funds = self.book.funds
        return success(
            {
                "tradingLimit": double(funds.available),
                "openingCashLimit": double(funds.opening_balance),
                "intradayPayin": double(funds.added_today),
                "collateralMargin": double(funds.collateral),
                "creditForSell": 0,
                "adhocMargin": 0,
                "utilizedMargin": double(funds.used),
                "blockedForPayout": double(funds.withdrawn_today),
                "utilizedSpanMargin": double(funds.used_span),
                "utilizedExposureMargin": double(funds.used_exposure),
            }
        )

    # --- portfolio -------------------------------------------------------------------------------

    def holdings(self, call: Call) -> Reply:
        if not self.book.holdings:
            raise Refusal(error(200, "EC922", "No holdings found for this user"))
        return success([*(self._holding(row) for row in self.book.holdings), BLANK_HOLDING])

    def _holding(self, row: Holding) -> Json:
        """The total is what lies in demat, pledged shares included, and what is still to come."""
        nse, bse = self.instruments.at(row.isin, "NSE"), self.instruments.at(row.isin, "BSE")
        return {
            "isin": row.isin,
            "nseInstrumentId": nse.exchange_token if nse else "",
            "bseInstrumentId": bse.exchange_token if bse else "",
            "nseTradingSymbol": f"{nse.symbol}-EQ" if nse else "",
            "bseTradingSymbol": bse.symbol if bse else "",
            "formattedInstrumentName": self.instruments[row.key].name.upper(),
            "product": "DELIVERY",
            "totalQuantity": row.owned,
            "dpQuantity": row.settled + row.pledged,
            "collateralQuantity": row.pledged,
            "t1Quantity": row.t1,
            "authorizedQuantity": "0",
            "averageTradedPrice": f"{row.average_price or 0:.2f}",
            "previousDayClose": f"{self.price(row.key).close:.2f}",
        }

    def positions(self, call: Call) -> Reply:
        if not self.book.positions:
            raise Refusal(error(200, "EC926", "No positions found for this user"))
        return success([self._position(row) for row in self.book.positions])

    def _position(self, row: Position) -> Json:
        """Quantities in lots on MCX; amounts count in units."""
        listing = self.instruments[row.key]
        units = listing.contract_multiplier
        return {
            "instrumentId": listing.exchange_token,
            "tradingSymbol": trading_symbol(listing),
            "formattedInstrumentName": formatted_name(listing),
            "exchange": EXCHANGES[row.exchange],
            "product": PRODUCTS[row.product],
            "netQuantity": row.quantity,
            "netAveragePrice": plain(row.average_price),
            "overnightQuantity": row.overnight_quantity,
            "overnightPrice": plain(row.overnight_price),
            "buyQuantity": row.buy_quantity,
            "buyPrice": double(row.buy_price),
            "sellQuantity": row.sell_quantity,
            "sellPrice": double(row.sell_price),
            "dayBuyQuantity": str(row.day_buy_quantity),
            "dayBuyPrice": double(row.day_buy_price),
            "dayBuyValue": plain(row.day_buy_value * units),
            "daySellQuantity": str(row.day_sell_quantity),
            "daySellPrice": plain(row.day_sell_price),
            "daySellValue": plain(row.day_sell_value * units),
            "multiplier": str(units),
            "lotSize": str(listing.lot_size * units),
            "tickSize": str(self.market.tick_size(listing)),
            "previousDayClose": plain(self.price(row.key).close),
            "realizedPnl": "0.00",
        }


def success(result: Json) -> Reply:
    return json_reply({"status": "Ok", "message": "Success", "result": result})


def error(status: int, code: str, message: str) -> Reply:
    return json_reply({"status": code, "message": message}, status)


def masked(number: str) -> str:
    """The first and the last character, as published."""
    return number[0] + "*" * (len(number) - 2) + number[-1]


def plain(value: Decimal) -> str:
    return f"{value.quantize(Decimal('0.0001')).normalize():f}"


def trading_symbol(listing: Listing) -> str:
    return f"{listing.symbol}-EQ" if listing.is_cash and listing.exchange == "NSE" else listing.symbol


def formatted_name(listing: Listing) -> str:
    if listing.expiry is None:
        return listing.name.upper()
    option = f" {listing.strike} {listing.option_type}" if listing.option_type else ""
    return f"{listing.underlying} {listing.expiry:%d %b %Y}{option}"
