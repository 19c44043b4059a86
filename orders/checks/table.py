"""The twelve checks before an order, in their order, and one run of them all. Pure.

Every run lists all twelve. Whatever goes wrong within a check is a no.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from orders.checks.confirming import confirmation
from orders.checks.limits import limits, losses
from orders.checks.own import cover, pace, repeats
from orders.checks.pricing import collar
from orders.checks.sizes import sizes
from orders.checks.system import CHANGES, CROSSING, DEALING, FORM, crossing, form, instrument, system
from orders.checks.words import SEVERITY, Checked, Finding, Verdict, denied
from orders.decisions import Planned
from orders.facts import Facts, Wanted, Why

logger = logging.getLogger(__name__)

Look = Callable[[Facts, Wanted, Sequence[Planned]], tuple[Finding, ...]]


@dataclass(frozen=True, slots=True)
class Check:
    number: int
    name: str
    look: Look


CHECKS: tuple[Check, ...] = (
    Check(1, "System state", system),
    Check(2, "Instrument", instrument),
    Check(3, "Form", form),
    Check(4, "Size", sizes),
    Check(5, "Price collar", collar),
    Check(6, "Repeats", repeats),
    Check(7, "Own crossing", crossing),
    Check(8, "Money and shares", cover),
    Check(9, "Pace", pace),
    Check(10, "Limits of the book", limits),
    Check(11, "Losses", losses),
    Check(12, "Confirmation", confirmation),
)
NUMBERS = tuple(check.number for check in CHECKS)
# Refusals that come before anything is planned, and the check whose matter they are; all others are the eighth's.
OF_CODE = {code: 2 for code in DEALING} | {code: 3 for code in FORM} | {code: 7 for code in CROSSING}
OF_CODE |= {code: 9 for code in CHANGES}
OF_CODE |= {code: 1 for code in ("trading_off", "not_cleared", "circuit_open", "account_unread", "session_ended")}
OF_CODE |= {code: 2 for code in ("not_listed", "not_tradable", "segment_not_enabled", "units_unknown")} | {
    "price_unknown": 5
}
ELSE = 8


def run(
    facts: Facts,
    wanted: Wanted,
    planned: Sequence[Planned],
    refusals: Iterable[Why] = (),
    checks: Sequence[Check] = CHECKS,
) -> tuple[Checked, ...]:
    """All twelve. `refusals`: what stopped the order before anything was planned."""
    told: dict[int, list[Finding]] = {}
    for each in refusals:
        number = OF_CODE.get(each.code, ELSE)
        told.setdefault(number, []).append(denied(number, each.code, each.words, each.remedy))
    return tuple(_checked(check, facts, wanted, planned, told.get(check.number, [])) for check in checks)


def _checked(
    check: Check, facts: Facts, wanted: Wanted, planned: Sequence[Planned], told: Sequence[Finding]
) -> Checked:
    try:
        found = check.look(facts, wanted, planned)
    except Exception as error:  # whatever it is: what could not be checked does not pass
        logger.exception("Check %d (%s) failed", check.number, check.name)
        words = f"The check “{check.name}” could not be made ({type(error).__name__})."
        found = (denied(check.number, "check_failed", words, "Tell support; nothing was sent."),)
    every = (*told, *(each for each in found if each.code not in {one.code for one in told}))
    worst = max((each.verdict for each in every), key=SEVERITY.__getitem__, default=Verdict.NOT_RUN)
    if not planned and worst is Verdict.PASS:
        worst = Verdict.NOT_RUN
    return Checked(number=check.number, name=check.name, verdict=worst, findings=every)


def stopping(checked: Iterable[Checked]) -> tuple[Finding, ...]:
    """What denies, in the order of the checks."""
    return tuple(found for each in checked for found in each.findings if found.verdict is Verdict.DENY)


def confirming(checked: Iterable[Checked]) -> tuple[Finding, ...]:
    """What a person must say yes to first. (A repeat is confirmed where it is asked for.)"""
    return tuple(
        found
        for each in checked
        for found in each.findings
        if found.verdict is Verdict.CONFIRM and found.code != "duplicate"
    )


def why(found: Finding) -> Why:
    return Why(code=found.code, words=found.words, remedy=found.remedy)
