"""Symphony's XTS, simulated: both applications of ttblaze.iifl.com behind one port.

Shapes and field order follow the XTS docs and fixtures/iifl/*.json. As unhelpful as the real thing: empty books are
errors, numbers are texts, "NaN" stands for not applicable, each quote is a JSON document inside a string, and the
misspelt names are kept. The wire cannot tell T1 shares apart; here they are inside `HoldingQuantity`, and what was
sold today stays there until the nightly run.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterable
from datetime import datetime, timedelta
from decimal import Decimal
from functools import cached_property
from urllib.parse import parse_qs

from brokers.simulation.book import ZERO, Holding, Position
from brokers.simulation.dialect import Access, App, Problem, Route, Sandbox, same
from brokers.simulation.instruments import Listing
from brokers.simulation.market import Price
from brokers.simulation.sessions import IST, random_text
from brokers.simulation.web_token import signed_token
from brokers.simulation.wire import HTML, Call, Json, Refusal, Reply, json_reply

TOKEN_LIFE = timedelta(days=1)
MARKET_PREFIX = "/apimarketdata/"
QUOTE_LIMIT = 50
XTS_EPOCH = datetime(1980, 1, 1, tzinfo=IST)
MARKET_KEY, MARKET_SECRET = "market_api_key", "market_api_secret"

INVALID_TOKEN = (400, "e-session-0007", "Invalid Token")
NO_TOKEN = (400, "e-token-0002", "Please Provide token to Authenticate")
BAD_KEYS = (400, "e-user-0001", "Invalid User")
NO_DATA = "Data Not Available"
MAINTENANCE_PAGE = Reply(503, b"<html><body><h1>503 Service Temporarily Unavailable</h1></body></html>", HTML)
PROBLEMS = {
    Problem.TOKEN_DEAD: INVALID_TOKEN,
    Problem.RATE_LIMITED: (429, "e-apirl-0004", "Rate limit exceeded"),
    Problem.SERVER_ERROR: (500, "e-server-0001", "Internal Server Error"),
    Problem.NOT_FOUND: (404, "e-app-0404", "Not Found"),
    Problem.METHOD_NOT_ALLOWED: (405, "e-app-0405", "Method Not Allowed"),
}

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
ORDER_TYPES: list[Json] = ["Limit", "Market", "StopLimit", "StopMarket"]
SOCKET_EVENTS: list[Json] = ["joined", "error", "warning", "success", "order", "trade", "logout", "position"]
ORDER_SOURCES: list[Json] = ["TWSAPI", "WebAPI", "MobileAndroidAPI", "MobileWindowsAPI", "MobileIOSAPI"]
INSTRUMENT_TYPES: list[Json] = ["Futures", "Options", "Spread", "Equity", "Spot"]
INDICES: dict[str, list[Json]] = {
    "1": ["NIFTY 50_26000", "NIFTY 100_26004", "NIFTY BANK_26001"],
    "11": ["SENSEX_26065"],
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


class IiflSandbox(Sandbox):
    slug, name = "iifl", "IIFL (XTS Blaze)"
    login_path = "/interactive/user/session"
    login_fields = ()  # no login page: the keys are all there is

    def routes(self) -> Iterable[Route]:
        yield Route("POST", "/interactive/user/session", self.open_interactive, Access.PUBLIC)
        yield Route("DELETE", "/interactive/user/session", self.logout)
        yield Route("GET", "/interactive/user/profile", self.profile)
        yield Route("GET", "/interactive/user/balance", self.balance)
        yield Route("GET", "/interactive/portfolio/holdings", self.holdings)
        yield Route("GET", "/interactive/portfolio/positions", self.positions)
        yield Route("GET", "/interactive/orders", self.no_orders)
        yield Route("GET", "/interactive/orders/trades", self.no_trades)
        yield Route("POST", "/apimarketdata/auth/login", self.open_market, Access.PUBLIC)
        yield Route("DELETE", "/apimarketdata/auth/logout", self.logout)
        yield Route("POST", "/apimarketdata/instruments/quotes", self.quotes)
        yield Route("POST", "/apimarketdata/instruments/master", self.master, Access.PUBLIC)
        yield Route("GET", "/apimarketdata/instruments/indexlist", self.index_list, Access.PUBLIC)

    @classmethod
    def new_app(cls, redirect_uri: str) -> App:
        """Two applications, each with a pair of its own."""
        return App(
            api_key=secrets.token_hex(11),
            api_secret=new_secret(),
            redirect_uri=redirect_uri,
            extra={MARKET_KEY: secrets.token_hex(11), MARKET_SECRET: new_secret()},
        )

    def problem(self, kind: Problem, path: str = "") -> Reply:
        return MAINTENANCE_PAGE if kind is Problem.MAINTENANCE else error(*PROBLEMS[kind])

    # --- login and session -----------------------------------------------------------------------

    def accepted(self, call: Call) -> Reply:
        raise self.refusal(Problem.NOT_FOUND)  # no browser ever comes here

    def cancelled(self, call: Call) -> Reply:
        raise self.refusal(Problem.NOT_FOUND)

    def open_interactive(self, call: Call) -> Reply:
        user = self.book.account.user_id
        return success(
            {
                "enums": {
                    "socketEvent": SOCKET_EVENTS,
                    "orderSide": ["BUY", "SELL"],
                    "orderSource": ORDER_SOURCES,
                    "positionSqureOffMode": ["DayWise", "NetWise"],
                    "positionSquareOffQuantityType": ["Percentage", "ExactQty"],
                    "dayOrNet": ["DAY", "NET"],
                    "instrumentType": INSTRUMENT_TYPES,
                    "exchangeSegment": [word for word, _, _ in SEGMENTS.values()],
                    "exchangeInfo": {
                        word: {
                            "productType": {product: product for product in products},
                            "orderType": ORDER_TYPES,
                            "timeInForce": ["DAY", "IOC"],
                        }
                        for word, _, products in SEGMENTS.values()
                    },
                },
                "clientCodes": [user],
                "exchangeSegmentArray": [{"key": word, "value": number} for word, number, _ in SEGMENTS.values()],
                "token": self._new_token(call, self.app.api_key, self.app.api_secret),
                "userID": user,
                "isInvestorClient": True,
                "isOneTouchUser": False,
            },
            "s-user-0001",
            "Valid User.",
        )

    def open_market(self, call: Call) -> Reply:
        token = self._new_token(call, self.app.extra[MARKET_KEY], self.app.extra[MARKET_SECRET])
        return success(
            {
                "token": token,
                "userID": self.book.account.user_id,
                "appVersion": "2.0",
                "application_expiry_date": "2027-03-31",
            },
            "s-auth-0001",
            "login successful",
        )

    def _new_token(self, call: Call, api_key: str, api_secret: str) -> str:
        """Check a pair of keys and open its one session: the one before ends."""
        given = credentials(call)
        if not (same(given.get("appKey", ""), api_key) and same(given.get("secretKey", ""), api_secret)):
            raise Refusal(error(*BAD_KEYS))
        now, user = self.now(), self.book.account.user_id
        expires_at = now + TOKEN_LIFE
        claims = {
            "userID": f"{user}_{api_key}",
            "publicKey": api_key,
            "jti": secrets.token_hex(6),
            "iat": int(now.timestamp()),
            "exp": int(expires_at.timestamp()),
        }
        token = signed_token(claims, api_secret)
        door = self._door(call)
        for known in [known for known in self.sessions.open_sessions if known.startswith(door)]:
            self.sessions.close(known)
        self.sessions.open(door + token, now=now, expires_at=expires_at)
        return token

    @staticmethod
    def _door(call: Call) -> str:
        """Each application knows its own tokens only."""
        return "market " if call.path.startswith(MARKET_PREFIX) else "interactive "

    def token(self, call: Call) -> str:
        """Raw, without "Bearer"."""
        token = call.headers.get("authorization", "")
        if not token:
            raise Refusal(error(*NO_TOKEN))
        return self._door(call) + token

    def logout(self, call: Call) -> Reply:
        self.sessions.close(self.token(call))
        return success("", "s-user-0001", "successfully logout from all API.")

    # --- account ---------------------------------------------------------------------------------

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
                    "collateral": float(collateral),
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
            "BuyAvgPrice": float(row.average_price or 0),
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

    def no_orders(self, call: Call) -> Reply:
        raise Refusal(error(400, "e-orders-0005", NO_DATA))

    def no_trades(self, call: Call) -> Reply:
        raise Refusal(error(400, "e-tradebook-0005", NO_DATA))

    # --- market ----------------------------------------------------------------------------------

    @cached_property
    def _by_number(self) -> dict[tuple[int, int], Listing]:
        return {(SEGMENTS[item.exchange][1], int(item.exchange_token)): item for item in self.instruments}

    def quotes(self, call: Call) -> Reply:
        """Instruments without a snapshot are listed as asked for and answered with nothing."""
        asked = call.json
        if not isinstance(asked, dict) or "publishFormat" not in asked:
            raise Refusal(bad_request("publishFormat", "is required", "any.required"))
        instruments, code = asked.get("instruments"), asked.get("xtsMessageCode")
        if not isinstance(instruments, list) or not 0 < len(instruments) <= QUOTE_LIMIT:
            raise Refusal(bad_request("instruments", "is invalid", "array.base"))
        if code not in WRITERS:
            raise Refusal(bad_request("xtsMessageCode", "is invalid", "any.allowOnly"))
        documents: Json = [document for item in instruments if (document := self._document(item, int(str(code))))]
        result: Json = {"mdp": code, "quotesList": instruments, "listQuotes": documents}
        return success(result, "s-quotes-0001", "Get quotes successfully!")

    def _document(self, item: Json, code: int) -> Json:
        """One quote as the text it travels as."""
        if not isinstance(item, dict):
            return None
        segment, number = item.get("exchangeSegment"), item.get("exchangeInstrumentID")
        if not (isinstance(segment, int) and str(number).isdigit()):
            return None
        listing = self._by_number.get((segment, int(str(number))))
        price = self.market.price(listing.key) if listing else None
        if listing is None or price is None:
            return None
        head: dict[str, Json] = {
            "MessageCode": code,
            "MessageVersion": 4,
            "ApplicationType": 0,
            "TokenID": 0,
            "ExchangeSegment": segment,
            "ExchangeInstrumentID": int(listing.exchange_token),
            "ExchangeTimeStamp": self._stamp(),
        }
        return json.dumps(head | WRITERS[code](self._touchline(listing, price)), separators=(",", ":"))

    def _stamp(self) -> int:
        """Seconds since 1980 of the clock on an Indian wall."""
        return int((self.now() - XTS_EPOCH).total_seconds())

    def _touchline(self, listing: Listing, price: Price) -> dict[str, Json]:
        """`Close` is the previous day's; the misspelling is the wire's."""
        last = float(price.last)
        best: Json = {"Size": 10 * listing.lot_size, "Price": last, "TotalOrders": 1, "BuyBackMarketMaker": 0}
        return {
            "BidInfo": best,
            "AskInfo": best,
            "LastTradedPrice": last,
            "LastTradedQunatity": listing.lot_size,
            "TotalBuyQuantity": 100 * listing.lot_size,
            "TotalSellQuantity": 100 * listing.lot_size,
            "TotalTradedQuantity": price.volume,
            "AverageTradedPrice": last,
            "LastTradedTime": self._stamp(),
            "LastUpdateTime": self._stamp(),
            "PercentChange": round(float((price.last / price.close - 1) * 100), 4),
            "Open": float(price.open),
            "High": float(price.high),
            "Low": float(price.low),
            "Close": float(price.close),
            "TotalValueTraded": None,
            "BuyBackTotalBuy": 0,
            "BuyBackTotalSell": 0,
        }

    def master(self, call: Call) -> Reply:
        asked = call.json
        wanted = asked.get("exchangeSegmentList") if isinstance(asked, dict) else None
        if not isinstance(wanted, list) or not wanted:
            raise Refusal(bad_request("exchangeSegmentList", "is required", "any.required"))
        listed = [item for item in self.listed() if SEGMENTS[item.exchange][0] in wanted]
        lines = (master_line(item, self.market.tick_size(item)) for item in listed)
        return success("\n".join(lines), "s-instrument-0002", "Instrument master downloaded")

    def index_list(self, call: Call) -> Reply:
        segment = call.asked("exchangeSegment")
        if segment not in INDICES:
            raise Refusal(bad_request("exchangeSegment", "is required", "any.required"))
        result: Json = {"exchangeSegment": int(segment), "indexList": INDICES[segment]}
        return success(result, "s-instrument-0001", "Index list")


SANDBOX = IiflSandbox


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


def credentials(call: Call) -> dict[str, str]:
    """The keys of a login: JSON, a form, or the form that the official SDK sends under a JSON content type."""
    if isinstance(call.json, dict):
        return {name: str(value) for name, value in call.json.items()}
    return {name: values[0] for name, values in parse_qs(call.body.decode("utf-8", "replace")).items()}


def new_secret() -> str:
    return f"{random_text(7)}#{random_text(2)}"


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


def full_quote(touchline: dict[str, Json]) -> dict[str, Json]:
    """Five levels of depth, of which the simulated market has one."""
    empty: Json = {"Size": 0, "Price": 0, "TotalOrders": 0, "BuyBackMarketMaker": 0}
    depth: dict[str, Json] = {side: [touchline[info], *[empty] * 4] for side, info in SIDES.items()}
    return depth | touchline_quote(touchline)


def touchline_quote(touchline: dict[str, Json]) -> dict[str, Json]:
    return {"Touchline": touchline, "BookType": 1, "XMarketType": 1, "SequenceNumber": 1}


def last_price_quote(touchline: dict[str, Json]) -> dict[str, Json]:
    """Flat, without a touchline."""
    kept = ("LastTradedPrice", "LastTradedQunatity", "LastUpdateTime", "PercentChange", "Close")
    return {"BookType": 1, "XMarketType": 1} | {name: touchline[name] for name in kept}


SIDES = {"Bids": "BidInfo", "Asks": "AskInfo"}
WRITERS = {1501: touchline_quote, 1502: full_quote, 1512: last_price_quote}


def master_line(listing: Listing, tick_size: Decimal) -> str:
    """One line of the master: 22 columns for shares, 21 for futures, 23 for options."""
    segment, number, _ = SEGMENTS[listing.exchange]
    units = listing.contract_multiplier
    kind = 8 if listing.is_cash else 2 if listing.option_type else 1
    name = listing.symbol if listing.is_cash else listing.underlying
    series = share_series(listing) if listing.is_cash else contract_series(listing)
    head = (
        *(segment, listing.exchange_token, kind, name, f"{name}-{series}" if listing.is_cash else listing.symbol),
        *(series, f"{name}-{series}", f"{number}1001{listing.exchange_token:0>8}"),
        *(0, 0, listing.row["freeze_qty"] or 100_000, tick_size, listing.lot_size, units),
    )
    if listing.is_cash:
        return joined(*head, listing.symbol, listing.isin, 1, 1, listing.name.upper(), 0, -1, -1)
    expiry = f"{listing.expiry}T14:30:00"
    option = (listing.strike, {"CE": 3, "PE": 4}[listing.option_type]) if listing.option_type else ()
    return joined(*head, -1, listing.underlying, expiry, *option, listing.symbol, 1, 1, listing.symbol)


def share_series(listing: Listing) -> str:
    return listing.row["series"] if listing.exchange == "NSE" else "A"


def contract_series(listing: Listing) -> str:
    return {"CE": "OPT", "PE": "OPT"}.get(listing.option_type, "FUT") + ("COM" if listing.exchange == "MCX" else "")


def joined(*fields: object) -> str:
    return "|".join(str(field) for field in fields)
