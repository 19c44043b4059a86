"""Limits against figures: what reaches them, what clears them, and that nothing unknown ever does."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from portfolio.risk.evaluating import (
    NOTHING,
    PER_ORDER,
    REACHED,
    SEVERITY,
    Evaluated,
    Figure,
    Measured,
    Standing,
    Step,
    Watched,
    evaluated,
    loosens,
    state_after,
)
from portfolio.risk.limits import CLEARS_AT, DEFAULTS, Action, Limit, Metric, Scope, State

D = Decimal
LOSS = Limit(metric=Metric.DAY_LOSS, warn=D(100), block=D(200), action=Action.REDUCE_ONLY)
EACH = Limit(metric=Metric.ISSUER_PCT, scope=Scope.ISSUER, warn=D(20), block=D(40))
AMOUNTS = st.decimals("0", "500", places=2)
LEVELS = st.none() | st.decimals("0.01", "400", places=2)
STATES = st.sampled_from(State)
FIGURES = st.builds(Figure, st.none() | AMOUNTS, st.booleans())


@st.composite
def limits(draw: st.DrawFn) -> Limit:
    warn, block = draw(LEVELS), draw(LEVELS)
    if warn is not None and block is not None:
        warn, block = sorted([warn, block])
    return replace(LOSS, warn=warn, block=block)


def watched(limit: Limit = LOSS, **standing: State) -> Watched:
    return Watched(id=7, limit=limit, standing={key: Standing(state, D(1)) for key, state in standing.items()})


def loss(value: str | None, *, complete: bool = True) -> Measured:
    figure = Figure(None if value is None else D(value), complete)
    return Measured({(Metric.DAY_LOSS, Scope.GLOBAL, ""): figure})


def one(each: Watched, measured: Measured) -> Evaluated:
    (found,) = evaluated([each], measured)
    return found


def onward(each: Watched, found: Evaluated) -> Watched:
    return replace(each, standing=found.standing)


def steps(found: Evaluated) -> list[tuple[str, Step]]:
    return [(change.key, change.step) for change in found.changes]


class TestOneLimit:
    def test_it_lives_through_a_bad_day(self) -> None:
        each, told = watched(), []
        for value in ("10", "100", "150", "96", "220", "195", "189", "96", "94.99", "120"):
            found = one(each, loss(value))
            told.append((found.state, *(change.step for change in found.changes)))
            each = onward(each, found)
        assert told == [
            (State.OK,),
            (State.WARN, Step.OPENED),
            (State.WARN,),
            (State.WARN,),
            (State.BLOCK, Step.RAISED),
            (State.BLOCK,),
            (State.WARN, Step.EASED),
            (State.WARN,),
            (State.OK, Step.CLEARED),
            (State.WARN, Step.OPENED),
        ]

    def test_a_change_tells_which_level_was_reached_or_left(self) -> None:
        (opened,) = one(watched(), loss("250")).changes
        assert (opened.value, opened.threshold, opened.after) == (D(250), D(200), State.BLOCK)
        (cleared,) = one(onward(watched(), one(watched(), loss("250"))), loss("5")).changes
        assert (cleared.step, cleared.value, cleared.threshold) == (Step.CLEARED, D(5), D(200))

    @pytest.mark.parametrize("measured", [NOTHING, loss(None), loss("1", complete=False)])
    def test_what_is_not_known_clears_nothing_and_is_said(self, measured: Measured) -> None:
        assert one(watched(), measured).state is State.UNKNOWN
        blocked = onward(watched(), one(watched(), loss("250")))
        still = one(blocked, measured)
        assert (still.state, still.changes) == (State.BLOCK, ())
        assert still.standing[""].state is State.BLOCK

    def test_a_part_of_the_book_is_enough_to_reach_it(self) -> None:
        found = one(watched(), loss("250", complete=False))
        assert (found.state, steps(found)) == (State.BLOCK, [("", Step.OPENED)])

    def test_what_was_not_known_and_is_well_is_ok_without_a_word(self) -> None:
        each = onward(watched(), one(watched(), NOTHING))
        found = one(each, loss("1"))
        assert (found.state, found.changes, found.standing) == (State.OK, (), {})

    @pytest.mark.parametrize("metric", sorted(PER_ORDER))
    def test_what_is_judged_by_each_order_is_no_matter_of_the_book(self, metric: Metric) -> None:
        assert evaluated([watched(replace(LOSS, metric=metric))], NOTHING) == []

    def test_every_default_is_judged_or_left_to_orders(self) -> None:
        found = evaluated([Watched(id=at, limit=limit) for at, limit in enumerate(DEFAULTS)], NOTHING)
        assert {each.state for each in found} == {State.UNKNOWN}
        assert len(found) == len(DEFAULTS) - 1


class TestEachByItself:
    def of(self, *, listed: bool = True, **values: str) -> Measured:
        figures = {(Metric.ISSUER_PCT, Scope.ISSUER, key): Figure(D(value), listed) for key, value in values.items()}
        return Measured(figures, frozenset({(Metric.ISSUER_PCT, Scope.ISSUER)} if listed else ()))

    def test_every_key_has_a_state_of_its_own(self) -> None:
        found = one(watched(EACH), self.of(INFY="25", SBIN="45", TCS="1"))
        assert (found.state, found.value) == (State.BLOCK, D(45))
        assert {key: each.state for key, each in found.standing.items()} == {"INFY": State.WARN, "SBIN": State.BLOCK}
        assert steps(found) == [("INFY", Step.OPENED), ("SBIN", Step.OPENED)]

    def test_what_is_sold_is_cleared(self) -> None:
        each = onward(watched(EACH), one(watched(EACH), self.of(INFY="25")))
        assert steps(one(each, self.of(SBIN="3"))) == [("INFY", Step.CLEARED)]

    def test_but_not_where_somebody_may_hold_it_still(self) -> None:
        each = onward(watched(EACH), one(watched(EACH), self.of(INFY="25")))
        found = one(each, self.of(listed=False, SBIN="3"))
        assert found.changes == ()
        assert {key: each.state for key, each in found.standing.items()} == {"INFY": State.WARN, "SBIN": State.UNKNOWN}

    def test_none_at_all(self) -> None:
        assert one(watched(EACH), NOTHING).state is State.UNKNOWN
        assert one(watched(EACH), self.of()).state is State.OK

    def test_a_limit_of_one_key_looks_at_that_alone(self) -> None:
        limit = replace(EACH, scope_key="INFY")
        assert one(watched(limit), self.of(SBIN="90")).state is State.OK
        assert steps(one(watched(limit), self.of(SBIN="90", INFY="50"))) == [("INFY", Step.OPENED)]


class TestAlways:
    @given(limit=limits(), before=STATES, figure=FIGURES, more=AMOUNTS)
    def test_a_higher_figure_is_never_milder(self, limit: Limit, before: State, figure: Figure, more: Decimal) -> None:
        assume(figure.value is not None)
        assert figure.value is not None
        higher = Figure(figure.value + more, figure.complete)
        assert SEVERITY[state_after(limit, higher, before)] >= SEVERITY[state_after(limit, figure, before)]

    @given(limit=limits(), before=STATES, figure=FIGURES)
    def test_a_second_look_changes_nothing(self, limit: Limit, before: State, figure: Figure) -> None:
        once = state_after(limit, figure, before)
        assert state_after(limit, figure, once) is once

    @given(limit=limits(), before=STATES, figure=FIGURES)
    def test_nor_does_it_tell_anything(self, limit: Limit, before: State, figure: Figure) -> None:
        measured = Measured({(Metric.DAY_LOSS, Scope.GLOBAL, ""): figure})
        each = Watched(id=1, limit=limit, standing={"": Standing(before, None)})
        found = one(each, measured)
        again = one(onward(each, found), measured)
        assert (again.changes, again.state, again.standing) == ((), found.state, found.standing)

    @given(limit=limits(), tighter=limits(), before=STATES, figure=FIGURES)
    def test_tighter_limits_are_never_milder(self, limit: Limit, tighter: Limit, before: State, figure: Figure) -> None:
        assume(not loosens(limit, tighter))
        assert SEVERITY[state_after(tighter, figure, before)] >= SEVERITY[state_after(limit, figure, before)]

    @given(before=STATES, value=st.none() | AMOUNTS, limit=limits())
    def test_an_incomplete_figure_makes_nothing_milder(
        self, before: State, value: Decimal | None, limit: Limit
    ) -> None:
        after = state_after(limit, Figure(value, complete=False), before)
        assert SEVERITY[after] >= SEVERITY[before]
        assert after is not State.OK

    @given(limit=limits(), figure=FIGURES)
    def test_between_its_level_and_95_percent_of_it_it_stays_as_it_was(self, limit: Limit, figure: Figure) -> None:
        assume(limit.warn is not None and limit.block is None)
        assert limit.warn is not None
        within = Figure((limit.warn + limit.warn * CLEARS_AT) / 2, complete=True)
        assert state_after(limit, within, State.WARN) is State.WARN
        assert state_after(limit, within, State.OK) is State.OK
        left = Figure(limit.warn * CLEARS_AT, complete=True)
        assert state_after(limit, left, State.WARN) is State.OK
        assert state_after(limit, Figure(limit.warn, complete=True), State.OK) is State.WARN

    @given(limit=limits(), before=STATES, figure=FIGURES)
    def test_openings_and_clearances_are_the_ways_in_and_out(self, limit: Limit, before: State, figure: Figure) -> None:
        measured = Measured({(Metric.DAY_LOSS, Scope.GLOBAL, ""): figure})
        found = one(Watched(id=1, limit=limit, standing={"": Standing(before, None)}), measured)
        told = {change.step for change in found.changes}
        assert (Step.OPENED in told) == (before not in REACHED and found.state in REACHED)
        assert (Step.CLEARED in told) == (before in REACHED and found.state not in REACHED)


class TestLoosening:
    @pytest.mark.parametrize(
        "changed",
        [{"block": D(201)}, {"block": None}, {"warn": D(101)}, {"warn": None}, {"action": Action.NOTIFY}],
    )
    def test_more_is_let_through(self, changed: dict[str, object]) -> None:
        assert loosens(LOSS, replace(LOSS, **changed))

    @pytest.mark.parametrize("changed", [{}, {"block": D(199)}, {"warn": D(1)}, {"action": Action.KILL}])
    def test_nothing_more_is(self, changed: dict[str, object]) -> None:
        assert not loosens(LOSS, replace(LOSS, **changed))

    def test_an_action_without_a_block_level_does_nothing(self) -> None:
        warning = replace(LOSS, block=None)
        assert not loosens(warning, replace(warning, action=Action.NOTIFY))
