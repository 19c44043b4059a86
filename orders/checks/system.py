"""1: is anything stopped? 2: may it be dealt in now? 3: is it well formed? 7: would it meet an own order? Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import Decimal

from brokers.clearance import Answer as Light
from brokers.wire import IST
from orders import rules, ruling
from orders.checks.exposure import is_closing
from orders.checks.words import Finding, denied, passed, warned
from orders.decisions import Planned
from orders.facts import Account, Facts, Wanted
from orders.risk_words import Halt, Occasion, RiskFacts

MOST_SKEW = Decimal(1)
# Of the table of rules, those that ask whether the order has its right form, and whether it meets an own one; those
# about changes are of the ninth check. All others ask whether it may be dealt in so, now.
FORM = frozenset(
    {"price_missing", "market_unprotected", "odd_quantity", "off_tick", "above_freeze", "outside_auction_band"}
)
CROSSING, CHANGES = frozenset({"self_trade"}), frozenset({"too_many_changes"})
DEALING = frozenset(rule.code for rule in rules.RULES) - FORM - CROSSING - CHANGES


def system(facts: Facts, wanted: Wanted, planned: Sequence[Planned]) -> tuple[Finding, ...]:
    return (*_halts(facts, wanted, planned), *_clock(facts.risk), *_connections(facts, planned))


def _halts(facts: Facts, wanted: Wanted, planned: Sequence[Planned]) -> Iterator[Finding]:
    risk = facts.risk
    if risk is None or not risk.halts_known:
        yield denied(
            1, "halt_unreadable", "It cannot be read whether trading is stopped, and so nothing goes out.",
            "Try again in a moment; cancelling works all the while.",
        )  # fmt: skip
        return
    if not risk.halts:
        yield passed(1, "No kill switch and no daily-loss lock is on.")
    for halt in risk.halts:
        if risk.shrinks:
            yield warned(1, "halt_reduces", f"{halt.words} This takes from an order.", "See it at the kill switch.")
        elif halt.level == "REDUCE_ONLY" and planned and is_closing(facts, wanted, planned):
            yield warned(1, "halt_reduces", f"{halt.words} This reduces one.", "See it at the kill switch.")
        elif _lets_exits_out(halt) and wanted.reduces:
            yield warned(1, "halt_reduces", f"{halt.words} This closes one.", "See it at the kill switch.")
        else:
            yield denied(1, "halted", halt.words, "See why at the kill switch; a person re-arms it, with a reason.")


def _lets_exits_out(halt: Halt) -> bool:
    """What flattens a book closes it by square-offs."""
    return halt.level in ("FLATTEN", "REDUCE_ONLY")


def _clock(risk: RiskFacts | None) -> Iterator[Finding]:
    skews = risk.skews if risk is not None else {}
    if not skews:
        yield warned(
            1, "clock_unmeasured", "Our clock was not compared with any other lately.",
            "It is as soon as a broker answers; keep the machine's clock by NTP.",
        )  # fmt: skip
        return
    name, most = max(skews.items(), key=lambda each: (abs(each[1]), each[0]))
    if abs(most) < MOST_SKEW:
        yield passed(1, f"Our clock is within a second of {', '.join(sorted(skews))}.")
        return
    yield denied(
        1, "clock_skewed", f"Our clock differs from that of {name} by {abs(most):.1f} seconds at least.",
        "Set the machine's clock by NTP.",
    )  # fmt: skip


def _connections(facts: Facts, planned: Sequence[Planned]) -> Iterator[Finding]:
    known = {account.connection_id for account in facts.accounts}
    if any(child.connection_id not in known for child in planned):
        yield denied(1, "connection_gone", "An account that it would go to is not connected.", "Log in at that broker.")
    for account in accounts_of(facts, planned):
        if account.trade is Light.NO or not account.trading_enabled:
            reason = next(iter(account.trade_reasons), None)
            yield denied(
                1,
                reason.code if reason else "not_cleared",
                reason.words if reason else f"{account.name} would not take an order now.",
                reason.remedy if reason else "See its connection.",
            )
        elif account.circuit == "open":
            yield denied(
                1, "circuit_open", f"{account.name} is failing, and left alone for now.", "Wait, or use another."
            )
        elif account.trade is Light.UNKNOWN:
            for reason in account.trade_reasons:
                yield warned(1, reason.code, reason.words, reason.remedy)
        else:
            yield passed(1, f"{account.name}: in session, its circuit {account.circuit}, our address registered.")


def instrument(facts: Facts, wanted: Wanted, planned: Sequence[Planned]) -> tuple[Finding, ...]:
    found: list[Finding] = []
    for exchange in dict.fromkeys(child.exchange for child in planned):
        place, today = facts.tradables[exchange], facts.now.astimezone(IST).date()
        if place.ended:
            found.append(
                denied(2, "instrument_ended", f"{place.tradingsymbol} is traded no more.", "Find what took its place.")
            )
        elif place.last_seen_on is None or (today - place.last_seen_on).days > MOST_UNSEEN_DAYS:
            found.append(
                denied(
                    2,
                    "instrument_not_seen",
                    f"No broker's list of today names {place.tradingsymbol}.",
                    "Wait for the lists of instruments, which are read each morning.",
                )
            )
        elif place.last_seen_on < today:
            found.append(
                warned(
                    2,
                    "instrument_old",
                    f"{place.tradingsymbol} was last named in the list of {place.last_seen_on}.",
                    "The lists of today have not been read yet.",
                )
            )
        else:
            phase = facts.markets.get(exchange, ruling.NO_MARKET).phase
            found.append(passed(2, f"{place.tradingsymbol} is in a list of today; phase {phase}."))
        if place.banned is None and place.expiry is not None:
            found.append(
                warned(2, "ban_unknown", "Whether its underlying is in the F&O ban is not known.", "See the exchange.")
            )
    return (*found, *broken(2, facts, wanted, planned, DEALING))


# A list may be of the last trading day before the morning's are read: over a long weekend, so many days.
MOST_UNSEEN_DAYS = 7


def form(facts: Facts, wanted: Wanted, planned: Sequence[Planned]) -> tuple[Finding, ...]:
    found = broken(3, facts, wanted, planned, FORM)
    if found or not planned:
        return found
    places = [facts.tradables[child.exchange] for child in planned]
    ticks = sorted({f"{place.tick_size.normalize():f}" if place.tick_size else "unknown" for place in places})
    return (passed(3, f"Whole lots on a tick of {', '.join(ticks)}, within the freeze quantity."),)


def crossing(facts: Facts, wanted: Wanted, planned: Sequence[Planned]) -> tuple[Finding, ...]:
    found = broken(7, facts, wanted, planned, CROSSING)
    if found or not planned:
        return found
    waits = facts.risk is not None and facts.risk.occasion is Occasion.WAITING
    words = "It rests nowhere until it is triggered" if waits else "None could meet it"
    return (passed(7, f"{words}; own orders in it that stand: {len(facts.resting)}."),)


def broken(
    check: int, facts: Facts, wanted: Wanted, planned: Sequence[Planned], codes: frozenset[str]
) -> tuple[Finding, ...]:
    """What the orders break of these rules, each once."""
    known = {account.connection_id for account in facts.accounts}
    found = {
        each.code: denied(check, each.code, each.words, each.remedy)
        for child in planned
        if child.connection_id in known
        for each in rules.broken(ruling.of_planned(facts, wanted, child))
        if each.code in codes
    }
    return tuple(found.values())


def accounts_of(facts: Facts, planned: Sequence[Planned]) -> list[Account]:
    chosen = {child.connection_id for child in planned}
    return [account for account in facts.accounts if account.connection_id in chosen]
