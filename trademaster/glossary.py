"""What each number means: one sentence each, shown where the number stands and together on the page of help."""

from __future__ import annotations

from typing import NamedTuple


class Term(NamedTuple):
    """`name` as it stands on the screen; `meaning` says what is counted, what is not, and since when."""

    name: str
    meaning: str


TERMS: dict[str, Term] = {
    # --- the book
    "net_worth": Term(
        "Net worth",
        "Every share you own at its last price, and the cash at your brokers, less what brokers lent for MTF shares.",
    ),
    "total_value": Term("Value", "Every share you own, at its last price. Money and margin are not in it."),
    "day_pnl": Term(
        "Today’s P&L",
        "What shares and positions gained since the previous close; since the purchase for what was bought today.",
    ),
    "day_change": Term("Today’s change", "Since the previous close; since the purchase for what was bought today."),
    "unrealized_pnl": Term(
        "Unrealised P&L", "Value less what was paid, over whatever is held and whose purchase price is known."
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
    "quantity": Term("Quantity", "Shares over all brokers: delivered, on their way (T1), pledged and bought today."),
    "average": Term("Average", "What one share cost on average, over the shares whose purchase price is known."),
    "last_price": Term("Last", "The last price, and whose word it is."),
    "weight": Term("Weight", "Part of the total value."),
    "net_quantity": Term("Net", "Long less short, in units, over all brokers."),
}
