"""What Fyers tells of the account, simulated; the logins and the market are in sandbox.py.

As awkward as the original: holdings have no previous close, `overall` counts sold shares as invested, values of
contracts counted in lots leave out their multiplier.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from msgspec import structs

from brokers.fyers.sandbox_wire import PLACES, PRODUCTS, fy_token, success, ticker
from brokers.simulation.book import ZERO, Holding, Position
from brokers.simulation.dialect import Sandbox
from brokers.simulation.wire import Call, Json, Reply, double


class FyersAccount(Sandbox):
    """What of the simulated Fyers is about the account."""

    def profile(self, call: Call) -> Reply:
        account = self.book.account
        return success(
            {
                "data": {
                    "name": account.name,
                    "image": None,
                    "display_name": None,
                    "email_id": masked(account.email),
                    "PAN": "XXXXXXXXXX",
                    "fy_id": account.user_id,
                    "pin_change_date": "02-02-2026 15:46:04",
                    "mobile_number": masked(account.mobile),
                    "totp": True,
                    "pwd_change_date": None,
                    "pwd_to_expire": 90,
                    "ddpi_enabled": False,
                    "mtf_enabled": True,
                }
            }
        )

    def funds(self, call: Call) -> Reply:
        funds = self.book.funds
        amounts = {
            1: ("Total Balance", funds.cash + funds.collateral),
            2: ("Utilized Amount", funds.used),
            3: ("Clear Balance", funds.cash),
            4: ("Realized Profit and Loss", ZERO),
            5: ("Collaterals", funds.collateral),
            6: ("Fund Transfer", funds.added_today - funds.withdrawn_today),
            7: ("Receivables", ZERO),
            8: ("Adhoc Limit", ZERO),
            9: ("Limit at start of the day", funds.opening_balance),
            10: ("Available Balance", funds.available),
        }
        rows: list[Json] = [
            {"id": number, "title": title, "equityAmount": double(amount), "commodityAmount": 0}
            for number, (title, amount) in amounts.items()
        ]
        return success({"fund_limit": rows})

    # --- portfolio -------------------------------------------------------------------------------

    def holdings(self, call: Call) -> Reply:
        parts = [part for row in self.book.holdings for part in delivered_and_coming(row)]
        rows = [self._holding(row, number) for number, row in enumerate(parts, start=1)]
        invested = double(sum((morning(row) * (row.average_price or ZERO) for row in parts), ZERO))
        value = double(sum((row.owned * self.price(row.key).last for row in parts), ZERO))
        profit = double(sum((self._profit(row) for row in parts), ZERO))
        overall: Json = {
            "count_total": len(rows),
            "total_investment": invested,
            "total_current_value": value,
            "total_pl": profit,
            "pnl_perc": round(profit / invested * 100, 4) if invested else 0,
        }
        return success({"holdings": rows, "overall": overall})

    def _profit(self, row: Holding) -> Decimal:
        return row.owned * (self.price(row.key).last - (row.average_price or ZERO))

    def _holding(self, row: Holding, number: int) -> Json:
        listing, price = self.instruments[row.key], self.price(row.key)
        exchange, segment, _, _ = PLACES[listing.exchange]
        return {
            "holdingType": "T1" if row.t1 else "HLD",
            "quantity": morning(row),
            "costPrice": double(row.average_price or 0),
            "marketVal": double(row.owned * price.last),
            "remainingQuantity": row.owned,
            "pl": double(self._profit(row)),
            "ltp": double(price.last),
            "id": number,
            "fyToken": fy_token(listing),
            "exchange": exchange,
            "symbol": ticker(listing),
            "segment": segment,
            "isin": row.isin,
            "qty_t1": row.t1,
            "remainingPledgeQuantity": 0 if row.t1 else row.settled,
            "collateralQuantity": row.pledged,
        }

    def positions(self, call: Call) -> Reply:
        held = [*self.book.financed, *self.book.positions]
        rows = [self._position(row, number) for number, row in enumerate(held)]
        booked = sum((self._booked_and_open(row)[0] for row in held), ZERO)
        open_profit = sum((self._booked_and_open(row)[1] for row in held), ZERO)
        overall: Json = {
            "count_total": len(rows),
            "count_open": sum(row["netQty"] != 0 for row in rows),
            "pl_total": double(booked + open_profit),
            "pl_realized": double(booked),
            "pl_unrealized": double(open_profit),
        }
        return success({"netPositions": list(rows), "overall": overall})

    def _booked_and_open(self, row: Position) -> tuple[Decimal, Decimal]:
        units, last = self.instruments[row.key].contract_multiplier, self.price(row.key).last
        unrealised = row.quantity * (last - row.average_price) * units
        return (row.sell_value - row.buy_value + row.quantity * last) * units - unrealised, unrealised

    def _position(self, row: Position, number: int) -> dict[str, Any]:
        """Quantities and values are in lots where the exchange counts lots; profits carry the multiplier."""
        listing, price = self.instruments[row.key], self.price(row.key)
        exchange, segment, _, _ = PLACES[listing.exchange]
        units, side = listing.contract_multiplier, (row.quantity > 0) - (row.quantity < 0)
        booked, unrealised = self._booked_and_open(row)
        return {
            "netQty": row.quantity,
            "qty": abs(row.quantity),
            "avgPrice": double(row.buy_price if row.quantity >= 0 else row.sell_price),
            "netAvg": double((row.buy_value - row.sell_value) / row.quantity) if row.quantity else 0.0,
            "side": side,
            "productType": PRODUCTS[row.product],
            "realized_profit": double(booked),
            "unrealized_profit": double(unrealised),
            "pl": double(booked + unrealised),
            "ltp": double(price.last),
            "buyQty": row.buy_quantity,
            "buyAvg": double(row.buy_price),
            "buyVal": double(row.buy_value),
            "sellQty": row.sell_quantity,
            "sellAvg": double(row.sell_price),
            "sellVal": double(row.sell_value),
            "slNo": number,
            "fyToken": fy_token(listing),
            "crossCurrency": "N",
            "rbiRefRate": 1.0,
            "qtyMulti_com": double(units),
            "segment": segment,
            "symbol": ticker(listing),
            "id": f"{ticker(listing)}-{PRODUCTS[row.product]}",
            "cfBuyQty": row.overnight_buy_quantity,
            "cfSellQty": row.overnight_sell_quantity,
            "dayBuyQty": row.day_buy_quantity,
            "daySellQty": row.day_sell_quantity,
            "exchange": exchange,
        }


def delivered_and_coming(row: Holding) -> list[Holding]:
    """One share as the wire has it: a row for what is delivered, pledged shares inside, and one for T+1."""
    delivered = structs.replace(row, t1=0)
    coming = structs.replace(row, settled=0, pledged=0, used_today=0)
    return [part for part in (delivered, coming) if morning(part)]


def morning(row: Holding) -> int:
    """What was owned at the start of the day."""
    return row.owned + row.used_today


def masked(text: str) -> str:
    return f"{text[:2]}{'x' * (len(text) - 4)}{text[-2:]}"
