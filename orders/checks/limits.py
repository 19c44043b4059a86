"""10: what would it make of the book? 11: what was lost already? Pure.

An order passes whatever it does not make worse, and be that far over its limit. Figures that it cannot be put into in
no time, such as value at risk, are those of the last evaluation: whatever makes a position larger makes them worse.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal

from orders.checks.exposure import increases, is_closing
from orders.checks.figures import NOT_AT_ALL, OF_METRIC, Figure, Post
from orders.checks.sizes import VERDICTS, parts_of
from orders.checks.words import Finding, Verdict, denied, passed, to_confirm, warned
from orders.decisions import Planned
from orders.explaining import plainly
from orders.facts import Facts, Wanted
from orders.risk_words import BookRisk, SetLimit
from portfolio.risk.evaluating import DAY_LOSS
from portfolio.risk.limits import Action, Limit, Metric, Scope, State, judged

OF_LOSS: Mapping[Metric, Callable[[BookRisk], Decimal | None]] = {
    Metric.DRAWDOWN_PCT: lambda book: book.drawdown_pct,
    Metric.DAY_LOSS_PCT: lambda book: book.day_loss_pct,
    Metric.DAY_LOSS: lambda book: book.day_loss,
}
# Of these an account of which nothing is known may hold anything.
OF_THE_BOOK = frozenset({Metric.ISSUER_PCT, Metric.SECTOR_PCT, Metric.GROSS_EXPOSURE, Metric.LEVERAGE_RATIO})
NAMES: Mapping[Metric, str] = {
    Metric.ISSUER_PCT: "of the book in one issuer",
    Metric.SECTOR_PCT: "of the book in one sector",
    Metric.BROKER_PCT: "of the equity at one broker",
    Metric.MARGIN_PCT: "of the margin of an account",
    Metric.VAR_99_PCT: "of the equity as value at risk",
    Metric.ES_975_PCT: "of the equity as expected shortfall",
    Metric.DRAWDOWN_PCT: "of drawdown",
    Metric.DAY_LOSS_PCT: "of the equity lost today",
    Metric.DAY_LOSS: "INR lost today",
    Metric.GROSS_EXPOSURE: "INR of gross exposure",
    Metric.LEVERAGE_RATIO: "times the equity as exposure",
}
REMEDY = "Reduce a position, make the order smaller, or look at your limits."
UNREAD = ("limits_unknown", "Your limits, or your book, cannot be read, and this would make a position larger.")


def limits(facts: Facts, wanted: Wanted, planned: Sequence[Planned]) -> tuple[Finding, ...]:
    if not planned:
        return ()
    risk = facts.risk
    if risk is None or risk.limits is None or risk.book is None:
        return (_unread(10, facts, wanted, planned),)
    post, found = Post.of(facts, wanted, risk.book, planned), list[Finding]()
    grows = increases(facts, wanted, planned)
    if not risk.book.complete:
        found.append(
            warned(10, "book_partial", "A part of the book is missing or old: figures are of the rest.", "See brokers.")
        )
    for each in risk.limits:
        if each.limit.metric not in NAMES or each.limit.metric in OF_LOSS:
            continue
        if each.limit.scope not in OF_METRIC.get(each.limit.metric, NOT_AT_ALL).scopes:
            found += _as_evaluated(each, post, 10, grows=grows)
        for figure in post.figures(each.limit):
            found += _of_figure(each, figure, post)
    if not any(each.verdict is not Verdict.WARN for each in found):
        found.append(
            passed(10, f"{len(risk.limits)} limits, {len(risk.orders)} orders that stand: none is overstepped.")
        )
    return tuple(found)


def losses(facts: Facts, wanted: Wanted, planned: Sequence[Planned]) -> tuple[Finding, ...]:
    if not planned:
        return ()
    risk = facts.risk
    if risk is None or risk.limits is None or risk.book is None:
        return (_unread(11, facts, wanted, planned),)
    found: list[Finding] = []
    post, grows = Post.of(facts, wanted, risk.book, planned), increases(facts, wanted, planned)
    for each in risk.limits:
        value_of = OF_LOSS.get(each.limit.metric)
        if value_of is None:
            continue
        if each.limit.scope is Scope.GLOBAL:
            known = value_of(risk.book)
            value = _lost(each, known, risk.book)
            if (
                value is None
                and known is not None
                and grows
                and not risk.book.day_known
                and each.limit.block is not None
            ):
                found.append(_in_part(each.limit, known))
            else:
                found += _of_state(11, each.limit, value, each.state, grows, post.is_exit)
        else:
            found += _as_evaluated(each, post, 11, grows=grows)
    return tuple(found) or (passed(11, "No limit of loss is set."),)


def _lost(each: SetLimit, value: Decimal | None, book: BookRisk) -> Decimal | None:
    """What is known reaches a level, and is within none where an account does not tell: more may be lost there.

    Where a row has no day (some brokers tell no close), what its last evaluation knows by a stream counts, too.
    """
    if value is None or judged(each.limit, value, each.state) is State.BLOCK:
        return value
    if each.limit.metric not in DAY_LOSS:
        return value if book.whole else None
    is_told = book.day_known and (book.day_whole or each.state is not State.BLOCK)
    return value if is_told else None


def _in_part(limit: Limit, known: Decimal) -> Finding:
    """An account that is away for a morning stops nobody for a day: a person looks at what is known, and says so."""
    return to_confirm(
        11,
        f"{limit.metric.value.lower()}_in_part",
        f"{known.quantize(Decimal('0.01')):f} {NAMES[limit.metric]} is known; an account has not answered for 15 "
        "minutes, and may have lost more.",
        "Log in at that broker, or approve the order with a fresh second factor.",
    )


def _unread(check: int, facts: Facts, wanted: Wanted, planned: Sequence[Planned]) -> Finding:
    code, words = UNREAD
    if is_closing(facts, wanted, planned):
        return warned(
            check, code, "Your limits, or your book, cannot be read; this reduces a position.", "See brokers."
        )
    return denied(check, code, words, "Try again when your brokers answer; reducing a position passes.")


# --- one limit --------------------------------------------------------------------------------------------------------
def _of_figure(each: SetLimit, figure: Figure, post: Post) -> Iterator[Finding]:
    """Held against its level as it would be after the order; a breach is over at 95% of its level, and no sooner."""
    limit, stood, is_exit = each.limit, each.stood(figure.key), post.is_exit
    if figure.before is None or figure.after is None:
        yield from _unknown(10, limit, grows=not is_exit)
        return
    state = judged(limit, figure.after, stood)
    shown = f"{figure.after.quantize(Decimal('0.01')):f} {NAMES[limit.metric]}"
    if figure.after <= figure.before:
        if state is State.BLOCK and limit.action is Action.REDUCE_ONLY and not is_exit:
            yield _over(10, limit, shown)
        elif state is not State.OK:
            yield passed(10, f"{shown}: over the limit, and this does not make it worse.")
        return
    if state is State.BLOCK:
        yield _over(10, limit, shown)
    elif limit.metric in OF_THE_BOOK and not post.book.whole:
        yield from _unknown(10, limit, grows=not is_exit)
    elif state is State.WARN:
        yield warned(10, f"{limit.metric.value.lower()}_near", f"{shown}, with all that stands.", REMEDY)


def _as_evaluated(each: SetLimit, post: Post, check: int, *, grows: bool) -> Iterator[Finding]:
    """By each key that the order has to do with."""
    for part in parts_of(each.limit, post.facts, post.risk, post.planned):
        stood = each.stood(part.name)
        if not each.evaluated or stood is State.UNKNOWN:
            yield from _unknown(check, each.limit, grows=grows)
        else:
            yield from _of_state(check, each.limit, None, stood, grows, post.is_exit, known=True)


def _of_state(
    check: int, limit: Limit, value: Decimal | None, stood: State, grows: bool, is_exit: bool, *, known: bool = False
) -> Iterator[Finding]:
    """Of a figure that one order does not change, or not by what can be told: what makes a position larger stops."""
    if value is None and not known and stood is not State.BLOCK:
        yield from _unknown(check, limit, grows=grows)
        return
    state = stood if value is None else judged(limit, value, stood)
    name = NAMES[limit.metric]
    shown = f"A limit {name}" if value is None else f"{value.quantize(Decimal('0.01')):f} {name}"
    if state is State.BLOCK and (grows or (limit.action is Action.REDUCE_ONLY and not is_exit)):
        yield _over(check, limit, shown)
    elif state is State.BLOCK:
        yield passed(check, f"{shown}: over the limit, and this makes no position larger.")
    elif state is State.WARN and grows:
        yield warned(check, f"{limit.metric.value.lower()}_near", f"{shown}: near its limit.", REMEDY)
    else:
        yield passed(check, f"{shown}: within the limit.")


def _over(check: int, limit: Limit, shown: str) -> Finding:
    level = "" if limit.block is None else f": the limit is {plainly(limit.block)}"
    return Finding(
        check=check,
        code=limit.metric.value.lower(),
        verdict=VERDICTS[limit.action],
        words=f"{shown}, with all that stands{level}.",
        remedy=REMEDY,
    )


def _unknown(check: int, limit: Limit, *, grows: bool) -> Iterator[Finding]:
    """Where it only warns nothing is held back; where it blocks, whatever makes a position larger is."""
    code, words = f"{limit.metric.value.lower()}_unknown", f"How much {NAMES[limit.metric]} there is, is not known"
    stops = limit.block is not None and VERDICTS[limit.action] is not Verdict.WARN
    if stops and grows:
        verdict, remedy = VERDICTS[limit.action], "Try again when your brokers answer; reducing a position passes."
        yield Finding(
            check=check, code=code, verdict=verdict, words=f"{words}, and you set a limit on it.", remedy=remedy
        )
    elif limit.block is not None or limit.warn is not None:
        yield warned(check, code, f"{words}.", "It is as soon as it is evaluated.")
