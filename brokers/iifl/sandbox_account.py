"""What the interactive application tells of the account, simulated; the logins and the market are in sandbox.py.

As unhelpful as the real thing: empty books are errors, numbers are texts, "NaN" stands for not applicable. The wire
cannot tell T1 shares apart; here they are inside `HoldingQuantity`, and what was sold today stays there until the
nightly run.
"""

from __future__ import annotations

from decimal import Decimal

from brokers.simulation.book import ZERO, Holding, Position
from brokers.simulation.dialect import Sandbox
from brokers.simulation.instruments import Listing
from brokers.simulation.sessions import IST
from brokers.simulation.wire import Call, Json, Refusal, Reply, double, json_reply

NO_DATA = "Data Not Available"

# our exchange → (word, number, the word's product types)
SHARE_PRODUCTS = ("MIS", "NRML", "CNC", "CO", "BO", "MTF")
CONTRACT_PRODUCTS = ("MIS", "NRML", "CO", "BO")
SEGMENTS = {
    "NSE": ("NSECM", 1, SHARE_PRODUCTS),
    "NFO": ("NSEFO", 2, CONTRACT_PRODUCTS),
    "CDS": ("NSECD", 3, CONTRACT_PRODUCTS),
    "BSE": ("BSECM", 11, SHARE_PRODUCTS),
    "BFO": ("BSEFO", 12, CONTRACT_PRODUCTS),
    "MCX": ("MCXFO", 51, CONTRACT_PRODUCTS),
}

MARGINS = (
    *("AdhocMargin", "NotinalCash", "PayInAmount", "PayOutAmount", "CNCSellBenifit", "DirectCollateral"),
    *("HoldingCollateral", "ClientBranchAdhoc", "SellOptionsPremium", "NetOptionPremium", "BuyOptionsPremium"),
    "TotalBranchAdhoc",
)
UTILISATIONS = (
    *("GrossExposureMarginPresent", "BuyExposureMarginPresent", "SellExposureMarginPresent", "VarELMarginPresent"),
    *("ScripBasketMarginPresent", "GrossExposureLimitPresent", "BuyExposureLimitPresent", "SellExposureLimitPresent"),
    *("CNCLimitUsed", "CNCAmountUsed"),
)
LIMITS = (
    *("CNCLimit", "TurnoverLimitPresent", "MTMLossLimitPresent", "BuyExposureLimit", "SellExposureLimit"),
    *("GrossExposureLimit", "GrossExposureDerivativesLimit", "BuyExposureFuturesLimit", "BuyExposureOptionsLimit"),
    *("SellExposureOptionsLimit", "SellExposureFuturesLimit", "AdhocOptionsBuy", "AdhocCashCNCMargin"),
)


def number_of(listing: Listing) -> int:
    """The exchange's own; XTS numbers indices by itself."""
    return int(listing.row["iifl_id"] if listing.is_index else listing.exchange_token)


class IiflAccount(Sandbox):
    """What the interactive application answers about the account."""

    def profile(self, call: Call) -> Reply:
        account = self.book.account
        return success(
            {
                "ClientId": account.user_id,
                "ClientName": account.name,
                "EmailId": account.email,
                "MobileNo": account.mobile,
                "PAN": "AAAAA0000A",
                "DematAccountNumber": "1208870000000000",
                "IncludeInAutoSquareoff": True,
                "IncludeInAutoSquareoffBlocked": True,
                "IsProClient": False,
                "IsInvestorClient": True,
                "ResidentialAddress": "Simulated Street 1, Mumbai",
                "OfficeAddress": "",
                "ClientBankInfoList": [],
                "ClientExchangeDetailsList": {
                    word: {
                        "ClientId": account.user_id,
                        "ExchangeSegNumber": number,
                        "Enabled": word != "MCXFO",
                        "ParticipantCode": "",
                    }
                    for word, number, _ in SEGMENTS.values()
                },
            },
            "s-user-0001",
            "Profile",
        )

    def balance(self, call: Call) -> Reply:
        """Every header repeats the same money: adding them up counts it twice."""
        funds = self.book.funds
        sums = (funds.cash, funds.collateral, funds.used, funds.available)
        return success(
            {
                "BalanceList": [
                    self._limits("ALL|ALL|ALL", *sums),
                    self._limits("CASH|NSE|MTF", ZERO, ZERO, ZERO, ZERO),
                    self._limits("COMMODITIES|MCX|ALL", *sums),
                ]
            },
            "s-user-0002",
            "OK",
        )

    def _limits(self, header: str, cash: Decimal, collateral: Decimal, used: Decimal, available: Decimal) -> Json:
        return {
            "limitHeader": header,
            "limitObject": {
                "RMSSubLimits": {
                    "cashAvailable": plain(cash),
                    "collateral": double(collateral),
                    "marginUtilized": plain(used),
                    "netMarginAvailable": plain(available),
                    "MTM": "0",
                    "UnrealizedMTM": "0",
                    "RealizedMTM": "0",
                },
                "marginAvailable": {
                    "CashMarginAvailable": plain(cash),
                    **dict.fromkeys(MARGINS, "0"),
                    **dict.fromkeys(("AdhocFOMargin", "AdhocCurrencyMargin", "AdhocCommodityMargin"), "NaN"),
                },
                "marginUtilized": {
                    **dict.fromkeys(UTILISATIONS, "0"),
                    "MarginUsed": plain(used),
                    "LimitUsed": "NaN",
                    "TotalSpanMargin": "0",
                    "ExposureMarginPresent": "0",
                },
                "limitsAssigned": dict.fromkeys(LIMITS, "0"),
                "AccountID": self.book.account.user_id,
            },
        }

    # --- portfolio -------------------------------------------------------------------------------

    def holdings(self, call: Call) -> Reply:
        if not self.book.holdings:
            raise Refusal(error(400, "e-holdings-0005", NO_DATA))
        rows: Json = {row.isin: self._holding(number, row) for number, row in enumerate(self.book.holdings, 101)}
        holdings: Json = {"ClientId": self.book.account.user_id, "RMSHoldings": {"Holdings": rows}}
        return success(holdings, "s-portfolio-0001", "Success holdings")

    def _holding(self, number: int, row: Holding) -> Json:
        written = f"{self.now().astimezone(IST):%Y-%m-%d}T07:12:33"
        return {
            "ISIN": row.isin,
            "RMSHoldingId": number,
            "ClientId": self.book.account.user_id,
            "ExchangeNSEInstrumentId": self._number(row.isin, "NSE"),
            "ExchangeBSEInstrumentId": self._number(row.isin, "BSE"),
            "ExchangeMSEIInstrumentId": 0,
            "HoldingType": 1,
            "HoldingQuantity": row.owned + row.used_today,
            "CollateralValuationType": 1,
            "Haircut": 10,
            "CollateralQuantity": row.pledged,
            "CreatedBy": "RMS",
            "LastUpdatedBy": "RMS",
            "CreatedOn": written,
            "LastUpdatedOn": written,
            "UsedQuantity": row.used_today,
            "IsCollateralHolding": row.pledged > 0,
            "BuyAvgPrice": double(row.average_price or 0),
            "IsBuyAvgPriceProvided": row.average_price is not None,
            "AuthorizeQuantity": 0,
            "IsNeedToDelete": False,
            "PledgeQuantity": 0,
            "IsPledgeHolding": False,
            "DisplayName": row.symbol,
        }

    def _number(self, isin: str, exchange: str) -> int:
        listing = self.instruments.at(isin, exchange)
        return int(listing.exchange_token) if listing else 0

    def positions(self, call: Call) -> Reply:
        """NetWise with what was carried, DayWise today's dealing alone."""
        wanted = call.asked("dayOrNet")
        if wanted not in ("NetWise", "DayWise"):
            raise Refusal(bad_request("dayOrNet", "must be one of [DayWise, NetWise]", "any.allowOnly"))
        rows = self.book.positions
        if wanted == "DayWise":
            rows = [todays_part(row) for row in rows if row.day_buy_quantity or row.day_sell_quantity]
        if not rows:
            raise Refusal(error(400, "e-portfolio-0005", NO_DATA))
        listed: Json = {"positionList": [self._position(row) for row in rows]}
        if wanted == "DayWise":
            return success(listed, "s-portfolio-0001", "Success position")
        return success(listed, "s-portfolio-0005", "Get Net Position successfully!")

    def _position(self, row: Position) -> Json:
        """Amounts count in units; the quantity counts lots on MCX."""
        listing, price = self.instruments[row.key], self.price(row.key)
        units = listing.contract_multiplier
        bought, sold = row.buy_value * units, row.sell_value * units
        total = sold - bought + row.quantity * units * price.last
        unrealised = row.quantity * units * (price.last - row.average_price)
        return {
            "AccountID": self.book.account.user_id,
            "TradingSymbol": row.symbol,
            "ExchangeSegment": SEGMENTS[row.exchange][0],
            "ExchangeInstrumentID": listing.exchange_token,
            "ExchangeInstrumentId": listing.exchange_token,
            "ProductType": row.product,
            "Marketlot": str(listing.lot_size),
            "Multiplier": str(units),
            "BuyAveragePrice": plain(row.buy_price),
            "SellAveragePrice": plain(row.sell_price),
            "OpenBuyQuantity": "0",
            "OpenSellQuantity": "0",
            "Quantity": str(row.quantity),
            "BuyAmount": plain(bought),
            "SellAmount": plain(sold),
            "NetAmount": plain(sold - bought),
            "UnrealizedMTM": plain(unrealised),
            "RealizedMTM": plain(total - unrealised),
            "MTM": plain(total),
            "BEP": plain(row.average_price),
            "SumOfTradedQuantityAndPriceBuy": plain(bought),
            "SumOfTradedQuantityAndPriceSell": plain(sold),
            "statisticsLevel": "ParentLevel",
            "isInterOpPosition": "true",
            "childPositions": {},
            "MessageCode": 9002,
            "MessageVersion": 1,
            "TokenID": 0,
            "ApplicationType": 0,
            "SequenceNumber": int(self.now().timestamp() * 1000),
        }


def success(result: Json, code: str, description: str) -> Reply:
    return json_reply({"type": "success", "code": code, "description": description, "result": result})


def error(status: int, code: str, description: str) -> Reply:
    return json_reply({"type": "error", "code": code, "description": description, "result": {}}, status)


def bad_request(field: str, complaint: str, kind: str) -> Reply:
    """A request that fails validation: the description is exactly these two words."""
    complaints: Json = [{"field": [field], "location": "body", "messages": [f'"{field}" {complaint}'], "types": [kind]}]
    result: Json = {"status": 400, "statusText": "Bad Request", "errors": complaints}
    body = {"type": "error", "code": "e-property-validation-failed", "description": "Bad Request", "result": result}
    return json_reply(body, 400)


def plain(value: Decimal) -> str:
    """A number as a text; a quotient with the digits that XTS keeps."""
    return f"{value.quantize(Decimal('0.0001')).normalize():f}"


def todays_part(row: Position) -> Position:
    return Position(
        symbol=row.symbol,
        exchange=row.exchange,
        product=row.product,
        day_buy_quantity=row.day_buy_quantity,
        day_buy_price=row.day_buy_price,
        day_sell_quantity=row.day_sell_quantity,
        day_sell_price=row.day_sell_price,
    )
