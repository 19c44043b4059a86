"""Why an account may not be asked at all, or only for a part: the codes, their words, and what a person can do."""

from __future__ import annotations

from typing import NamedTuple

from orders.routing.decision import Exclusion
from orders.routing.problem import Broker


class Reason(NamedTuple):
    words: str
    remedy: str


EXCLUSIONS: dict[str, Reason] = {
    "unreconciled_order": Reason(
        "unreconciled order for this intent",
        "Wait: its order book is being read until the order is found or proved absent. Nothing is sent again before.",
    ),
    "session_invalid": Reason("no valid session", "Sign in at this broker again."),
    "circuit_open": Reason("circuit open", "Wait: it is tried again by itself, first by a reading, then by one order."),
    "no_probe_allowed": Reason(
        "circuit half open, and no order may be risked on it",
        "Wait until it has answered three times, or allow a probe in the order settings.",
    ),
    "segment_unsupported": Reason("does not deal in this segment", "Have the segment activated at this broker."),
    "product_unsupported": Reason("does not offer this product", "Choose another product, or another broker."),
    "exchange_unsupported": Reason("cannot reach these exchanges", "Allow the other exchange for this order."),
    "no_rate_tokens": Reason("no order tokens left this second", "Ask again in a second."),
    "debit_not_authorised": Reason(
        "no DDPI and no eDIS authorisation today",
        "Authorise the sale at the broker for today (eDIS), or sign its DDPI once.",
    ),
    "holdings_unknown": Reason("its holdings are not known", "Refresh the portfolio; sign in there if it asks for it."),
    "funds_unknown": Reason("its funds are not known", "Refresh the portfolio; sign in there if it asks for it."),
    "margin_unknown": Reason("the margin of this order is not known", "Ask again when the broker tells the margin."),
    "charges_unknown": Reason("its charges for this are not known", "Have its plan entered under charges."),
    "no_shares": Reason("nothing there that is free to be sold", "Free pledged shares, or cancel an open sale there."),
    "no_position": Reason("the position is not there", "A position can be closed only at the broker that holds it."),
    "funds_too_small": Reason("its funds do not cover one lot and its charges", "Add funds at this broker."),
    "exposure_used_up": Reason("its exposure limit is used up", "Raise the limit for this broker."),
    "probe_too_small": Reason(
        "circuit half open, and one lot is worth more than a probe may be", "Wait until it has answered three times."
    ),
    "order_cap_too_small": Reason("one lot is above the largest order that it takes", "Choose another broker."),
}  # fmt: skip

# What holds an account at less than all, and the exclusion that it becomes where nothing is left.
LIMITS: dict[str, Reason] = {
    "shares": Reason("so many are free there", "Free pledged shares, or cancel an open sale there."),
    "position": Reason("so large is the position there", "A position can be closed only at the broker that holds it."),
    "funds": Reason("its funds cover no more", "Add funds at this broker."),
    "exposure": Reason("its exposure limit leaves no more", "Raise the limit for this broker."),
    "probe": Reason("it is on probation, for one small order", "Wait until it has answered three times."),
    "rate_tokens": Reason("its order tokens of this second are used then", "Ask again in a second for the rest."),
    "max_children": Reason("more would take too many orders", "Raise the limit of orders, or split the order."),
}
EMPTY_LIMIT = {
    "shares": "no_shares",
    "position": "no_position",
    "funds": "funds_too_small",
    "exposure": "exposure_used_up",
    "probe": "probe_too_small",
    "rate_tokens": "no_rate_tokens",
}


def excluded(broker: Broker, code: str, detail: str = "") -> Exclusion:
    reason = EXCLUSIONS[code]
    tail = f" {detail}" if detail else ""
    return Exclusion(
        broker=broker.id,
        code=code,
        words=reason.words,
        sentence=f"{broker.words}: {reason.words}{tail}.",
        remedy=reason.remedy,
    )


def barred(broker: Broker) -> Exclusion | None:
    bar = broker.barred
    if bar is None:
        return None
    words = bar.words.rstrip(".")
    return Exclusion(
        broker=broker.id,
        code=bar.code,
        words=bar.words,
        sentence=f"{words}." if broker.words in words else f"{broker.words}: {words}.",
        remedy=bar.remedy,
    )
