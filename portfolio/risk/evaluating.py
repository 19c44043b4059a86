"""Limits held against measured figures: which state each is in, and what has changed. Pure.

What is not wholly known never makes a limit milder: it can only be reached by it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum

from portfolio.risk.limits import Action, Limit, Metric, Scope, State, judged

ZERO = Decimal(0)
# The worse, the later. A figure that is not known is worse than a good one.
SEVERITY = {State.OK: 0, State.UNKNOWN: 1, State.WARN: 2, State.BLOCK: 3}
REACHED = (State.WARN, State.BLOCK)
STRENGTH = {action: strength for strength, action in enumerate(Action)}
# Judged by each order on its way out, and so never by a look at the book.
PER_ORDER = frozenset(
    {
        Metric.ORDER_VALUE_PCT,
        Metric.ORDER_VALUE,
        Metric.ORDER_QUANTITY,
        Metric.SYMBOL_DAY_VALUE,
        Metric.ORDER_ADV_PCT,
    }
)
DAY_LOSS = frozenset({Metric.DAY_LOSS, Metric.DAY_LOSS_PCT})

FigureKey = tuple[Metric, Scope, str]


@dataclass(frozen=True, slots=True)
class Figure:
    """`value` None: not known. Not `complete`: a part of the book is missing in it, or is old.

    `proved`: what a day's loss is at least, whatever is missing. None: nothing of it is proved.
    """

    value: Decimal | None
    complete: bool
    proved: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Measured:
    """Figures by metric, scope and key (empty for GLOBAL).

    `listed`: of these every key that there is has its figure, so that a key without one stands at zero.
    """

    figures: Mapping[FigureKey, Figure] = field(default_factory=dict)
    listed: frozenset[tuple[Metric, Scope]] = frozenset()

    def of(self, metric: Metric, scope: Scope, key: str) -> Figure:
        found = self.figures.get((metric, scope, key))
        if found is not None:
            return found
        return Figure(ZERO, True) if (metric, scope) in self.listed else Figure(None, False)

    def keys(self, metric: Metric, scope: Scope) -> set[str]:
        return {key for of_metric, of_scope, key in self.figures if (of_metric, of_scope) == (metric, scope)}

    def also(self, other: Measured) -> Measured:
        """Both, where they tell of the same the other's word."""
        return Measured({**self.figures, **other.figures}, self.listed | other.listed)


NOTHING = Measured()


@dataclass(frozen=True, slots=True)
class Standing:
    """The state that a limit is in for one key."""

    state: State
    value: Decimal | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """A limit and how it stood: by key, those alone that were not OK."""

    id: int
    limit: Limit
    standing: Mapping[str, Standing] = field(default_factory=dict)


class Step(StrEnum):
    OPENED = "OPENED"
    RAISED = "RAISED"  # from a warning to a block
    EASED = "EASED"  # from a block to a warning
    CLEARED = "CLEARED"


# What is told beside them: somebody has taken note.
ACKNOWLEDGED = "ACKNOWLEDGED"


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What became of a limit for one key. `threshold` is the level that was reached, of a clearance the one left."""

    key: str
    step: Step
    before: State
    after: State
    value: Decimal
    threshold: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluated:
    """How a limit stands now. `state` and `value` are of its worst key; `standing` has those that are not OK."""

    id: int
    state: State
    value: Decimal | None
    standing: Mapping[str, Standing]
    changes: tuple[Change, ...]


def evaluated(watched: Iterable[Watched], measured: Measured) -> list[Evaluated]:
    """Hold every limit that looks at the book against what was measured."""
    return [_evaluated(each, measured) for each in watched if each.limit.metric not in PER_ORDER]


def state_after(limit: Limit, figure: Figure, before: State) -> State:
    """By `judged`; but by a figure that is not complete no state becomes milder, and none becomes OK."""
    found = judged(limit, figure.value, before)
    if figure.complete:
        return found
    floor = State.UNKNOWN if before is State.OK else before
    return max(found, floor, key=SEVERITY.__getitem__)


def loosens(old: Limit, new: Limit) -> bool:
    """Whether the new one lets anything happen that the old one did not."""
    return (
        _is_looser(old.warn, new.warn)
        or _is_looser(old.block, new.block)
        or (old.block is not None and STRENGTH[new.action] < STRENGTH[old.action])
    )


def _evaluated(watched: Watched, measured: Measured) -> Evaluated:
    limit, states, changes = watched.limit, {}, []
    for key in sorted(_keys(watched, measured)):
        figure = measured.of(limit.metric, limit.scope, key)
        was = watched.standing.get(key, Standing(State.OK, None))
        now = state_after(limit, figure, was.state)
        states[key] = Standing(now, was.value if figure.value is None else figure.value)
        change = _change(limit, key, was.state, states[key])
        if change is not None:
            changes.append(change)
    worst = max(states.values(), key=_badness, default=_without_keys(limit, measured))
    standing = {key: each for key, each in states.items() if each.state is not State.OK}
    return Evaluated(id=watched.id, state=worst.state, value=worst.value, standing=standing, changes=tuple(changes))


def _keys(watched: Watched, measured: Measured) -> set[str]:
    limit = watched.limit
    if limit.scope is Scope.GLOBAL or limit.scope_key:
        return {limit.scope_key}
    return measured.keys(limit.metric, limit.scope) | set(watched.standing)


def _without_keys(limit: Limit, measured: Measured) -> Standing:
    """Of a limit on each, where there is not even one: all is well only if that is known."""
    is_listed = (limit.metric, limit.scope) in measured.listed
    return Standing(State.OK, None) if is_listed else Standing(State.UNKNOWN, None)


def _badness(standing: Standing) -> tuple[int, bool, Decimal]:
    return SEVERITY[standing.state], standing.value is not None, standing.value or ZERO


def _change(limit: Limit, key: str, before: State, now: Standing) -> Change | None:
    step = _step(before, now.state)
    if step is None:
        return None
    reached = before if step is Step.CLEARED else now.state
    threshold = limit.block if reached is State.BLOCK else limit.warn
    return Change(
        key=key,
        step=step,
        before=before,
        after=now.state,
        value=ZERO if now.value is None else now.value,
        # A level that was taken away since leaves the other one.
        threshold=next(level for level in (threshold, limit.warn, limit.block, ZERO) if level is not None),
    )


def _step(before: State, after: State) -> Step | None:
    if after is before:
        return None
    if after in REACHED:
        if before not in REACHED:
            return Step.OPENED
        return Step.RAISED if after is State.BLOCK else Step.EASED
    return Step.CLEARED if before in REACHED else None


def _is_looser(old: Decimal | None, new: Decimal | None) -> bool:
    return old is not None and (new is None or new > old)
