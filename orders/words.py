"""What orders are and what happened to them, in plain words for the page. Pure: codes in, sentences out."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from brokers.domain import OrderType
from orders.explaining import plainly, rupees
from orders.lifecycle import State
from orders.models import IntentStatus, Teller


@dataclass(frozen=True, slots=True)
class Said:
    """`word` for the table, `tone` for its colour (good, warn, bad, plain), `meaning` for the money."""

    word: str
    tone: str
    meaning: str


CHILD: Mapping[str, Said] = {
    State.SENDING: Said("being sent", "plain", "The call to the broker is under way; its answer says more."),
    State.UNKNOWN: Said(
        "not known",
        "warn",
        "It left, and no answer came: it may be at the broker or not. Nothing of it is sent again.",
    ),
    State.PENDING: Said("taken", "plain", "The broker took it. It is in no exchange’s book yet; nothing is dealt."),
    State.OPEN: Said("open", "plain", "It stands at the exchange. Its money or shares are bound until it ends."),
    State.TRIGGER_PENDING: Said("waits for its trigger", "plain", "It becomes an order once the trigger is reached."),
    State.PARTIALLY_FILLED: Said("filled in part", "plain", "A part is dealt; the rest stands at the exchange."),
    State.FILLED: Said("filled", "good", "All of it is dealt."),
    State.CANCELLED: Said("cancelled", "plain", "It has ended; what was not filled binds nothing any more."),
    State.REJECTED: Said("rejected", "bad", "The broker said no. Nothing of it stands there."),
    State.EXPIRED: Said("expired", "plain", "Its time is over; what was not filled binds nothing any more."),
    State.NOT_PLACED: Said("not placed", "warn", "The broker never had it. No money moved."),
}
INTENT: Mapping[str, Said] = {
    IntentStatus.AWAITING_APPROVAL: Said("Waits for your approval", "warn", "Nothing is sent before you approve it."),
    IntentStatus.DECLINED: Said("Not approved", "plain", "Nothing was sent; no money moved."),
    IntentStatus.REFUSED: Said("Refused", "bad", "Nothing was sent; no money moved."),
    IntentStatus.WORKING: Said("Working", "plain", "It is at the brokers, or on its way to them."),
    IntentStatus.FILLED: Said("Filled", "good", "All of it is dealt."),
    IntentStatus.PARTIALLY_FILLED: Said("Ended, filled in part", "warn", "What was filled is yours; the rest is over."),
    IntentStatus.CANCELLED: Said("Cancelled", "plain", "Nothing was filled; no money moved."),
    IntentStatus.REJECTED: Said("Rejected", "bad", "The broker said no; no money moved."),
    IntentStatus.EXPIRED: Said("Expired", "plain", "Nothing was filled; no money moved."),
    IntentStatus.NOT_PLACED: Said("Not placed", "warn", "No broker had it; no money moved."),
}
UNKNOWN = Said("Not known", "warn", CHILD[State.UNKNOWN].meaning)
COMPONENTS: Mapping[str, str] = {
    "brokerage": "Brokerage",
    "stt": "Securities transaction tax",
    "ctt": "Commodities transaction tax",
    "exchange_txn": "Exchange’s fee",
    "ipft": "Investor protection fund",
    "sebi_fee": "SEBI’s fee",
    "stamp_duty": "Stamp duty",
    "gst": "GST",
    "clearing": "Clearing",
    "dp": "Depository’s charge",
}
TELLERS: Mapping[str, str] = {
    Teller.TRADER: "You",
    Teller.ROUTER: "TradeMaster",
    Teller.CALL: "The broker’s answer",
    Teller.STREAM: "The broker’s stream",
    Teller.POSTBACK: "The broker’s book, after its message",
    Teller.BOOK: "The broker’s book",
    Teller.CLOCK: "TradeMaster",
}
# A sentence for each code of an event; `{at}` is the broker, ` at Zerodha`, where the line is about one of its orders.
EVENTS: Mapping[str, str] = {
    "asked": "You asked for this order.",
    "decided": "It was decided where it goes.",
    "awaits_approval": "It waits for your approval; nothing is sent before.",
    "approved": "You approved it; it was decided anew, on the facts of then.",
    "declined": "You did not approve it; nothing was sent.",
    "approval_expired": "Nobody approved it in time; nothing was sent.",
    "sending_began": "Sending began.",
    "sending_ended": "Sending ended: nothing more goes out by itself.",
    "sending_stopped": "What was left behind the order{at} was not sent.",
    "sending": "The order{at} was written down, and its one call made.",
    "call_pending": "The call{at} was answered: taken.",
    "call_rejected": "The call{at} was answered: refused.",
    "call_not_placed": "The order never reached the broker{at}.",
    "call_unknown": "No plain answer came{at}: it may be there. Nothing of it is sent again.",
    "answered_late": "An answer came late{at}; the book had told of it before.",
    "sender_lost": "Whoever was sending it{at} stopped; what became of it is read from the broker’s book.",
    "seen": "News of the order{at}.",
    "seen_pending": "The broker has the order{at}.",
    "seen_open": "It stands at the exchange{at}.",
    "seen_trigger_pending": "It waits for its trigger{at}.",
    "seen_partially_filled": "A part of it was filled{at}.",
    "seen_filled": "It was filled{at}.",
    "seen_cancelled": "It was cancelled{at}.",
    "seen_rejected": "It was rejected{at}.",
    "seen_expired": "It expired{at}.",
    "proved_absent": "The broker’s book proved that it was never placed{at}: nothing stands there.",
    "missing_from_book": "The broker’s book does not show it{at}.",
    "day_over": "Its day is over{at}, and the book shows it no more.",
    "order_unknown": "It could not be settled by itself{at}: you were told to look into your account.",
    "rejected_after_acceptance": "It was rejected after it had been accepted{at}: you were told.",
    "found_after_all": "It stands in the broker’s book after all{at}: it is followed again.",
    "contradiction": "What the broker says does not fit what it had said before{at}; it is kept, not believed.",
    "contradicted": "The broker contradicts itself about this order{at}: you were told.",
    "settled_by_owner": "You settled it by the contract note{at}.",
    "cancel_asked": "You asked to cancel{at}.",
    "cancel_sent": "The cancellation went out{at}.",
    "cancel_taken": "The cancellation was taken{at}; the book tells whether it was in time.",
    "cancel_refused": "The cancellation was refused{at}.",
    "cancel_not_sent": "The cancellation did not go out{at}.",
    "cancel_unknown": "The cancellation was not answered{at}; the book tells.",
    "cancel_did_not_happen": "The cancellation did not happen{at}; you may ask again.",
    "change_asked": "You asked for a change{at}.",
    "change_taken": "The change was taken{at}.",
    "change_refused": "The change was refused{at}.",
    "change_not_sent": "The change did not go out{at}.",
    "change_unknown": "The change was not answered{at}; the book tells.",
    "moving": "What provably was not executed{at} moves to another broker.",
    "not_moved": "Nothing of it moved to another broker.",
    "too_much_decided": "More was decided than may be sent: nothing of that went out.",
    "status": "The order as a whole: {word}.",
}
DETAILS: Mapping[str, str] = {
    "quantity": "quantity {}",
    "price": "price ₹{}",
    "trigger_price": "trigger ₹{}",
    "filled_quantity": "{} filled",
    "average_price": "at ₹{} on average",
    "broker_order_id": "the broker’s number {}",
    "reason": "“{}”",
    "error_code": "code {}",
    "reason_code": "code {}",
    "what": "{}",
}

# What privacy mode hides of a sentence: amounts and quantities. Percentages, prices, times and counts of other things
# stay. trademaster/static/trademaster/figures.js has the same for what the browser makes.
FIGURE = re.compile(
    r"(₹\s?-?\d+(?:,\d+)*(?:\.\d+)?"
    r"|(?<![\w.,:/-])(?<!\bat )(?<!% from )(?<!such as )(?<!above )(?<!price of )(?<!limit of )(?<!trigger of )"
    r"(?<!close of )(?<!tick of )(?<!close, )(?<![A-Z]{3}, )(?<!this is )(?<!stand: )(?<!it be )"
    r"(?<!percent, is )(?<!number )"
    r"-?\d+(?:,\d+)*(?:\.\d+)?(?![\w%/-]|:\d|[.,]\d"
    r"| (?:s|seconds?|minutes?|times?|limits?|orders?|more orders|readings|accounts?"
    r"|of the (?:book|equity|margin)|of drawdown)\b))"
)


def figures(words: str) -> list[str]:
    """A sentence in pieces; every second one, from the second on, is an amount or a quantity."""
    return FIGURE.split(words)


def happened(code: str, to_state: str, broker: str | None) -> str:
    """An event as a sentence; one that has none yet is told by its code and where it led."""
    known = INTENT.get(to_state) or CHILD.get(to_state)
    if code in EVENTS:
        return EVENTS[code].format(at=f" at {broker}" if broker else "", word=known.word.lower() if known else "")
    where = f" at {broker}" if broker else ""
    return f"{code.replace('_', ' ').capitalize()}{where}{f': {known.word.lower()}' if known else ''}."


def detailed(details: Mapping[str, Any]) -> str:
    """What an event holds that a person reads; the rest of it is for programs."""
    said = [words.format(details[name]) for name, words in DETAILS.items() if details.get(name)]
    return ", ".join(said)


def at_price(order_type: str, price: Decimal | None, trigger_price: Decimal | None) -> str:
    """What it was asked for at."""
    asked = {OrderType.MARKET: "market", OrderType.SL_M: "market"}.get(OrderType(order_type))
    words = asked or ("not known" if price is None else rupees(price))
    return words if trigger_price is None else f"{words}, trigger {rupees(trigger_price)}"


def filled_of(filled: Decimal, asked: Decimal) -> str:
    return f"{plainly(filled)} / {plainly(asked)}"


def in_short(states: Sequence[tuple[str, str]]) -> str:
    """Where the orders of an intent stand: `open at Zerodha; filled at Upstox`. `states`: (state, broker)."""
    by_word: dict[str, list[str]] = {}
    for state, broker in states:
        names = by_word.setdefault(CHILD[state].word, [])
        if broker not in names:
            names.append(broker)
    return "; ".join(f"{word} at {' and '.join(names)}" for word, names in by_word.items())


def age(since: datetime, now: datetime) -> str:
    """`12 s`, `4 min`, `3 h 5 min`, `6 days`: as the page's script goes on counting it."""
    seconds = max(0, int((now - since).total_seconds()))
    if seconds < 60:
        return f"{seconds} s"
    minutes = seconds // 60
    if minutes < 60:
        return f"{minutes} min"
    hours = minutes // 60
    return f"{hours} h {minutes % 60} min" if hours < 48 else f"{hours // 24} days"
