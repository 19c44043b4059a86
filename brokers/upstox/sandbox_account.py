"""What Upstox tells of the account, simulated; the logins and the market are in sandbox.py.

As unhelpful as the published samples: `day_change` stays 0, and a carried position's `pnl` forgets what was paid.
"""

from __future__ import annotations

from decimal import Decimal

from brokers.simulation.book import ZERO, Holding, Position
from brokers.simulation.dialect import Sandbox
from brokers.simulation.wire import Call, Json, Reply, double
from brokers.upstox.sandbox_wire import PRODUCTS, instrument_key, success


class UpstoxAccount(Sandbox):
    """What of the simulated Upstox is about the account."""

    def profile(self, call: Call) -> Reply:
        return success(self._profile(ddpi=False))

    def _profile(self, **newer: Json) -> dict[str, Json]:
        """`newer`: fields that only the profile call has, before the last one."""
        account = self.book.account
        return {
            "email": account.email,
            "exchanges": ["NSE", "NFO", "BSE", "CDS", "BFO", "BCD"],
            "products": ["D", "CO", "I", "MTF"],
            "broker": "UPSTOX",
            "user_id": account.user_id,
            "user_name": account.name,
            "order_types": ["MARKET", "LIMIT", "SL", "SL-M"],
            "user_type": "individual",
            "poa": False,
            **newer,
            "is_active": True,
        }

    def funds_v2(self, call: Call) -> Reply:
        """Since July 2025 everything is in `equity`."""
        funds = self.book.funds
        segments = {
            "equity": {
                "used_margin": double(funds.used),
                "payin_amount": double(funds.added_today),
                "span_margin": double(funds.used_span),
                "adhoc_margin": 0.0,
                "notional_cash": 0.0,
                "available_margin": double(funds.available),
                "exposure_margin": double(funds.used_exposure),
            },
            "commodity": {
                "used_margin": 0,
                "payin_amount": 0,
                "span_margin": 0,
                "adhoc_margin": 0,
                "notional_cash": 0,
                "available_margin": 0,
                "exposure_margin": 0,
            },
        }
        wanted = {"SEC": "equity", "COM": "commodity"}.get(call.asked("segment"))
        return success({wanted: segments[wanted]} if wanted else segments)

    def funds_v3(self, call: Call) -> Reply:
        funds = self.book.funds
        return success(
            {
                "available_to_trade": {
                    "total": double(funds.available),
                    "cash_available_to_trade": {
                        "total": double(funds.cash - funds.cash_used),
                        "cash": {
                            "opening_balance": double(funds.opening_balance),
                            "added_today": double(funds.added_today),
                            "withdrawn_today": -double(funds.withdrawn_today),
                            "amount_from_stock_sale": 0.0,
                            "unpaid_charges": 0,
                        },
                        "margin_used": {
                            "total": double(funds.cash_used),
                            "mtf": double(funds.used_mtf),
                            "loss": {"total": 0.0, "realised": 0.0, "unrealised": 0.0},
                            "span_exposure": double(funds.used_span + funds.used_exposure),
                            "cash_margin_var_elm": 0.0,
                            "premium_present": 0.0,
                            "delivery_margin": delivery_margin(funds.used_delivery),
                        },
                    },
                    "pledge_available_to_trade": {
                        "total": double(funds.collateral - funds.collateral_used),
                        "margin_from_pledge": {
                            "total": double(funds.collateral),
                            "equity": double(funds.collateral),
                            "mutual_funds": 0.0,
                        },
                        "margin_used": {
                            "total": double(funds.collateral_used),
                            "mtf": 0.0,
                            "span_exposure": 0.0,
                            "cash_margin_var_elm": double(funds.collateral_used),
                            "premium_present": 0.0,
                            "delivery_margin": delivery_margin(ZERO),
                        },
                    },
                },
                "unavailable_to_trade": {
                    "cash_unavailable_to_trade": {"unsettled_profit": {"todays_profit": 0.0, "previous_days": 0.0}},
                    "pledge_unavailable_to_trade": {"equity": 0.0, "mutual_funds": 0.0},
                },
            }
        )

    # --- portfolio -------------------------------------------------------------------------------

    def holdings(self, call: Call) -> Reply:
        return success([self._holding(row) for row in self.book.holdings])

    def _holding(self, row: Holding) -> Json:
        """`quantity` is the total, T1 and pledged shares inside; a sale of today is already taken off."""
        listing, price = self.instruments[row.key], self.price(row.key)
        average = None if row.average_price is None else double(row.average_price)
        return {
            "isin": row.isin,
            "cnc_used_quantity": row.used_today,
            "collateral_type": "WC",
            "company_name": listing.name.upper(),
            "haircut": 0.2,
            "product": "D",
            "quantity": row.owned,
            "trading_symbol": row.symbol,
            "tradingsymbol": row.symbol,
            "last_price": double(price.last),
            "close_price": double(price.close),
            "pnl": 0 if average is None else (double(price.last) - average) * row.owned,
            "day_change": 0,
            "day_change_percentage": 0,
            "instrument_token": instrument_key(listing),
            "average_price": average,
            "collateral_quantity": row.pledged,
            "collateral_update_quantity": 0,
            "t1_quantity": row.t1,
            "exchange": row.exchange,
        }

    def positions(self, call: Call) -> Reply:
        return success([self._position(row) for row in self.book.positions if row.product != "MTF"])

    def mtf_positions(self, call: Call) -> Reply:
        bought = [row for row in self.book.positions if row.product == "MTF"]
        return success([self._position(row) for row in self.book.financed + bought])

    def _position(self, row: Position) -> Json:
        """Money of a carried quantity sits in `overnight_*_amount` only; one opened today has no average."""
        listing, price = self.instruments[row.key], self.price(row.key)
        units = listing.contract_multiplier
        day_buy, day_sell = row.day_buy_value * units, row.day_sell_value * units
        paid = row.overnight_buy_quantity * row.overnight_price * units
        received = row.overnight_sell_quantity * row.overnight_price * units
        pnl = double(day_sell) - double(day_buy) + double(row.quantity * price.last * units)
        symbol = f"{row.symbol}-EQ" if row.exchange == "NSE" and row.product != "MTF" else row.symbol
        return {
            "exchange": row.exchange,
            "multiplier": double(units),
            "value": double(paid + day_buy - received - day_sell),
            "pnl": pnl,
            "product": PRODUCTS[row.product],
            "instrument_token": instrument_key(listing),
            "average_price": double(row.average_price) if row.overnight_quantity else None,
            "buy_value": double(day_buy),
            "overnight_quantity": row.overnight_quantity,
            "day_buy_value": double(day_buy),
            "day_buy_price": double(row.day_buy_price),
            "overnight_buy_amount": double(paid),
            "overnight_buy_quantity": row.overnight_buy_quantity,
            "day_buy_quantity": row.day_buy_quantity,
            "day_sell_value": double(day_sell),
            "day_sell_price": double(row.day_sell_price),
            "overnight_sell_amount": double(received),
            "overnight_sell_quantity": row.overnight_sell_quantity,
            "day_sell_quantity": row.day_sell_quantity,
            "quantity": row.quantity,
            "last_price": double(price.last),
            "unrealised": pnl,
            "realised": -0.0,
            "sell_value": double(day_sell),
            "trading_symbol": symbol,
            "tradingsymbol": symbol,
            "close_price": double(price.close),
            "buy_price": double(row.buy_price),
            "sell_price": double(row.sell_price),
        }


def delivery_margin(equity: Decimal) -> Json:
    return {"total": double(equity), "equity": double(equity), "fo_settlement": 0.0}
