"""6: is it asked for again? 8: is it paid for, or there to be sold? 9: does it keep to the brokers' pace? Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import Decimal

from brokers.domain import ZERO
from orders.checks.exposure import is_closing
from orders.checks.system import CHANGES, accounts_of, broken
from orders.checks.words import Finding, denied, passed, to_confirm, warned
from orders.decisions import Planned
from orders.explaining import bound, plainly, rupees
from orders.facts import Account, Facts, Wanted
from orders.problems import is_delivery_sale, sellable_of
from orders.risk_words import Occasion

# So often a part may move to another broker within a minute, all by itself.
MOST_MOVES = 3
PAISA = Decimal("0.01")


def repeats(facts: Facts, wanted: Wanted, planned: Sequence[Planned]) -> tuple[Finding, ...]:
    risk = facts.risk
    if risk is None:
        return (denied(6, "repeats_unknown", "Whether it was asked for just now is not known.", "Try again."),)
    found: list[Finding] = []
    if risk.moves >= MOST_MOVES:
        found.append(
            denied(
                6,
                "moved_too_often",
                f"Parts of it moved to another broker {risk.moves} times within a minute: it stays now.",
                "See why the brokers do not take it, and place a new order.",
            )
        )
    if risk.repeats and not risk.repeats_confirmed:
        found.append(
            to_confirm(
                6,
                "duplicate",
                "The same order was placed a moment ago.",
                "If you want it a second time, send it with `confirm_duplicate` true.",
            )
        )
    elif risk.repeats:
        found.append(passed(6, "The same order was placed a moment ago, and a second one was confirmed."))
    if found or not planned:
        return tuple(found)
    return (passed(6, "No such order was placed a moment ago; a key makes one order for ever."),)


def cover(facts: Facts, wanted: Wanted, planned: Sequence[Planned]) -> tuple[Finding, ...]:
    return tuple(
        found
        for account in accounts_of(facts, planned)
        for found in _cover_of(account, facts, wanted, [each for each in planned if _is_at(each, account)])
    )


def _is_at(child: Planned, account: Account) -> bool:
    return child.connection_id == account.connection_id


def _cover_of(account: Account, facts: Facts, wanted: Wanted, parts: Sequence[Planned]) -> Iterator[Finding]:
    quantity = sum((child.quantity for child in parts), ZERO)
    risk = facts.risk
    takes, binds = (risk.takes, risk.binds) if risk is not None else (ZERO, ZERO)
    waits = risk is not None and risk.occasion is Occasion.WAITING
    if wanted.reduces or is_delivery_sale(facts, wanted):
        there = sellable_of(account, facts, wanted)
        if there is None:
            yield denied(
                8, "shares_unknown", f"What {account.name} holds of it is not known.", "Try again when it answers."
            )
        elif quantity - takes <= there:
            yield passed(8, f"{account.name}: {plainly(quantity)} of {plainly(there + takes)} that are free.")
        elif waits:
            yield warned(
                8, "too_few_shares_now", f"{account.name} has {plainly(there)} of {plainly(quantity)} units free now.",
                "They are needed when its trigger is there.",
            )  # fmt: skip
        else:
            yield denied(
                8, "too_few_shares",
                f"{account.name} has {plainly(there + takes)} of {plainly(quantity)} units free.",
                "Sell what is free: settled, not pledged, and in no open order.",
            )  # fmt: skip
        return
    needed = sum((bound(facts, child) for child in parts), ZERO) - binds
    if needed <= 0:
        yield passed(8, f"{account.name}: it binds no more money than it does.")
    elif waits:
        yield warned(
            8, "paid_when_triggered", f"{account.name} asks for the money when its trigger is there.",
            f"Have ₹{rupees(needed)} free there then.",
        )  # fmt: skip
    elif is_closing(facts, wanted, parts):
        yield passed(8, f"{account.name}: it closes a position, and frees its margin.")
    elif account.available is None:
        yield denied(8, "money_unknown", f"What is free at {account.name} is not known.", "Try again when it answers.")
    elif needed <= account.available - account.reserved + PAISA:
        free = account.available - account.reserved
        yield passed(8, f"{account.name}: ₹{rupees(needed)} of ₹{rupees(free)}, orders under way taken off.")
    else:
        free = account.available - account.reserved
        yield denied(
            8, "too_little_money", f"It binds ₹{rupees(needed)} at {account.name}, where ₹{rupees(free)} are free.",
            "Make it smaller, or add money at this broker.",
        )  # fmt: skip


def pace(facts: Facts, wanted: Wanted, planned: Sequence[Planned]) -> tuple[Finding, ...]:
    found: list[Finding] = list(broken(9, facts, wanted, planned, CHANGES))
    risk = facts.risk
    if risk is not None and risk.changes is not None and not found and planned:
        most = "any number" if risk.most_changes is None else str(risk.most_changes)
        found.append(passed(9, f"It was changed {risk.changes} times; its broker lets it be {most}."))
    for account in accounts_of(facts, planned):
        orders = sum(_is_at(child, account) for child in planned)
        if account.rate_tokens is None:
            found.append(passed(9, f"{account.name} names no limit of orders."))
        elif account.rate_tokens <= 0:
            found.append(
                denied(9, "no_budget", f"{account.name} takes no more orders just now.", "Try again in a moment.")
            )
        elif orders > account.rate_tokens:
            found.append(
                warned(
                    9,
                    "waits_for_budget",
                    f"{account.name} takes {account.rate_tokens} orders just now, and this is {orders}: they wait.",
                    "Nothing: they follow one another.",
                )
            )
        else:
            found.append(
                passed(9, f"{account.name} takes {account.rate_tokens} more orders just now; this is {orders}.")
            )
    return tuple(found)
