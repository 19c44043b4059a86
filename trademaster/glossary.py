"""What each number means: one sentence each, shown where the number stands and together on the page of help."""

from __future__ import annotations

from typing import NamedTuple


class Term(NamedTuple):
    """`name` as it stands on the screen; `meaning` says what is counted, what is not, and since when."""

    name: str
    meaning: str


TERMS: dict[str, Term] = {
    # --- the book
    # --- the book -----------------------------------------------------------------------------------------------------
    "net_worth": Term(
        "Net worth",
        "Every share you own at its last price, and the cash at your brokers, less what brokers lent for MTF shares"
        " and what was bought today. What was sold today is not added before the cash shows it; open positions are not"
        " in it. Cash and loans that are not known are left out, and named.",
    ),
    "total_value": Term("Value", "Every share you own, at its last price. Money and margin are not in it."),
    "day_pnl": Term(
        "Today’s P&L",
        "What shares and positions gained since the previous close; since the purchase for what was bought today. In"
        " percent of yesterday’s value of what moved: what was carried at its previous close, what was opened today at"
        " its price.",
    ),
    "day_change": Term("Today’s change", "Since the previous close; since the purchase for what was bought today."),
    "unrealized_pnl": Term(
        "Unrealised P&L", "Value less what was paid, over whatever is held and whose purchase price is known."
    ),
    "open_pnl": Term(
        "Unrealised P&L",
        "What all that is held or open has gained since it was paid for, where the price paid is known. In percent of"
        " what was paid.",
    ),
    "realized_pnl": Term(
        "Realised P&L", "What today’s closed dealing gained, before charges, as each broker tells it."
    ),
    "available": Term("Available margin", "What can be traded with now, over all brokers."),
    "used": Term("Used margin", "Margin that is blocked by open positions and orders."),
    "collateral": Term(
        "Collateral", "Margin from pledged shares. Those shares are in the value already: it is no further wealth."
    ),
    "cash": Term("Cash", "Money at the broker, without margin from pledged shares."),
    # --- one row
    # --- one row ------------------------------------------------------------------------------------------------------
    "quantity": Term("Quantity", "Shares over all brokers: delivered, on their way (T1), pledged and bought today."),
    "average": Term("Average", "What one share cost on average, over the shares whose purchase price is known."),
    "last_price": Term("Last", "The last price, and whose word it is."),
    "weight": Term("Weight", "Part of the total value."),
    "row_value": Term("Value", "Quantity at the last price, over all brokers."),
    "day_percent": Term("Day %", "Today’s change in percent of what it started from."),
    "parts": Term("Brokers", "Which part of it lies at which broker, by quantity."),
    "told_at": Term("Told at", "When the broker told its amounts, in Indian time."),
    "net_quantity": Term("Net", "Long less short, in units, over all brokers."),
    # --- risk
    "var_95": Term("VaR 95%", "On 95 of 100 days the book loses no more than this in a day."),
    "var_99": Term("VaR 99%", "On 99 of 100 days the book loses no more than this in a day."),
    "expected_shortfall": Term("ES 97.5%", "The mean loss of the worst 2.5% of days: what a day beyond VaR costs."),
    "component_var": Term("Part of VaR", "What one holding adds to parametric VaR 99%; the parts sum to it."),
    "gross": Term("Gross", "Long and short exposure added."),
    "net": Term("Net exposure", "Long less short exposure."),
    "delta_net": Term("Delta of derivatives", "Of derivatives: units × delta × the underlying’s price."),
    "notional": Term("Notional", "Derivatives at the value of their whole underlying."),
    "impact": Term("Impact if at once", "What selling it all at once would cost in price, by the square-root law."),
    "equity": Term("Equity", "Cash, shares and options, less loans, and what today’s deals do."),
    "delta": Term("Delta", "What the book moves like, in rupees of its underlyings."),
    "gamma": Term("Gamma, 1%", "What a move of 1% earns beyond delta."),
    "vega": Term("Vega", "What one percentage point more volatility earns."),
    "theta": Term("Theta", "What one calendar day earns, all else the same."),
    "rho": Term("Rho", "What one percentage point more rate earns."),
    "t1": Term("T1", "Bought, and not yet delivered."),
    "slow_series": Term("Slow series", "Trade-for-trade, SME and the like: shares that cannot be sold in a hurry."),
    "frozen_loss": Term(
        "Loses, with a broker out",
        "What a broker’s positions lose in the worst one-day scenario while nothing can be sold there.",
    ),
    # --- orders
    "filled_of": Term("Filled / asked", "Units that were bought or sold, of those that were ordered."),
    "asked_price": Term("Price", "What the order was asked for at, in ₹ per unit."),
    "charges": Term(
        "Charges", "Brokerage, taxes and fees by each broker’s own tariff; an estimate until the contract note."
    ),
    "order_age": Term("For", "How long the order has been in this state."),
    # --- one account
    "account_value": Term(
        "Value", "The shares at this account, at their last prices; those bought with a loan in full."
    ),
    "account_day": Term("Today", "What this account’s shares and positions gained today."),
    "free_margin": Term("Free", "What can be traded with now at this account."),
    "session_left": Term("Session", "When the login ends: then this account must be logged in again, or is renewed."),
    "connection_p95": Term(
        "p95",
        "Of a hundred checks of this connection that succeeded in the last 24 hours, 95 were answered this fast.",
    ),
    # --- brokers
    "api_price": Term("Price of its API", "What the broker asks for its interface, beside what it asks for dealing."),
    "live_prices": Term("Live prices", "Whether the broker streams prices to TradeMaster as they change."),
    "gtt": Term("GTT", "Orders that lie at the broker until a price is reached, also over days."),
    "orders_address": Term(
        "Where orders leave from",
        "Brokers take orders only from an IP address that you registered with them: this installation’s must be it.",
    ),
    "uptime": Term(
        "Uptime",
        "Part of the measured time in which accounts there could be read. Announced maintenance does not count.",
    ),
    "p50": Term("p50", "Half of the checks that succeeded were answered faster than this."),
    "p95": Term("p95", "Of 20 checks that succeeded, 19 were answered faster than this."),
    "checks": Term("Checks", "Small readings by which TradeMaster sees whether the broker answers, over all accounts."),
    "failures": Term("Failures", "Checks that went wrong, by what went wrong."),
    "longest_outage": Term("Longest outage", "The longest time in which no account at the broker could be read."),
    "circuit": Term(
        "Circuit", "After many failures in a row a broker is left alone for a while, and then tried with one call."
    ),
    "budget_left": Term(
        "Budget left", "How many calls the broker still allows your account within the window that is fullest."
    ),
    "rejection_rate": Term(
        "Refused", "Part of your own orders that this broker refused, of those that it took or refused."
    ),
    # --- limits, by the metric's code
    "issuer_pct": Term(
        "Share of one issuer", "What hangs on one issuer, its derivatives by their delta, in percent of the book."
    ),
    "sector_pct": Term("Share of the largest sector", "The sector that most of the book lies in, in percent of it."),
    "broker_pct": Term("Share at one broker", "The shares owned at one broker, in percent of all that are owned."),
    "margin_pct": Term(
        "Margin used", "Of one account: margin used, in percent of used and available; of the book the worst account’s."
    ),
    "var_99_pct": Term(
        "Value at risk, 99%", "The loss of one day that 99 days of 100 stay below, in percent of equity."
    ),
    "es_975_pct": Term(
        "Expected shortfall, 97.5%", "The mean loss of the worst 2.5 days of 100, in percent of equity."
    ),
    "drawdown_pct": Term("Drawdown", "How far equity lies below its highest, deposits and withdrawals apart."),
    "day_loss_pct": Term("Today’s loss, in percent", "What today lost so far, in percent of what the day began with."),
    "day_loss": Term("Today’s loss, in rupees", "What today lost so far, of what is known, open and closed together."),
    "gross_exposure": Term("Gross exposure", "Long and short added up, derivatives by what they move with, in rupees."),
    "leverage_ratio": Term("Leverage", "Gross exposure as so many times equity."),
    "order_value_pct": Term(
        "One order, in percent of equity", "Its value in percent of equity, judged as it goes out."
    ),
    "order_value": Term("One order, in rupees", "Its value in rupees, judged as it goes out."),
    "order_quantity": Term("One order, in units", "Shares or units, never lots, judged as it goes out."),
    "symbol_day_value": Term(
        "One instrument in a day", "What is dealt in one instrument today, with the order that goes out."
    ),
    "order_adv_pct": Term(
        "One order, of what is traded a day", "Units of one order, in percent of those traded on an average day."
    ),
    # --- beside the book
    "value_today": Term(
        "The day",
        "The value of what you own, one point a minute. It is no profit: purchases, sales and newly connected accounts "
        "move it, and the dashed line, which is what the same shares were worth at the previous close. Where it is "
        "shaded nobody knew it; a mark at the foot is a broker that did not answer.",
    ),
    "allocation": Term(
        "Allocation", "How the total value is spread. What is not known is a line of its own, and in the sum."
    ),
}
