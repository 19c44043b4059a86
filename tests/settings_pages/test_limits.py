"""Limits as pages: set, changed, removed; what loosens asks for a proof; breaches are noted."""

from __future__ import annotations

from decimal import Decimal

import pytest
from django.test import Client

from accounts.models import User
from portfolio import limits, risk_page
from portfolio.risk.limits import DEFAULTS, Action, Metric, Scope
from portfolio.risk_models import RiskBreach, RiskLimit
from tests.portfolio.limit_samples import rows_of_limits
from tests.settings_pages.conftest import beside, prove, text_of
from trademaster.settings_pages import limit_words

LIST = "/account/limits"
NEW = "/account/limits/new?metric="


@pytest.fixture
def blocking(alice: User) -> RiskLimit:
    """75 to warn, 90 to block, margin used."""
    limit: RiskLimit = rows_of_limits(alice)["limit"]
    return limit


def test_everybody_begins_with_the_proposals_and_sees_that_nothing_was_looked_at(as_alice: Client) -> None:
    page = as_alice.get(LIST)
    assert page.content.decode().count('data-testid="limit"') == len(DEFAULTS)
    text = text_of(page)
    assert "They have not been held against a book yet" in text
    assert "At 90% : refuse orders that would make it worse" in text
    assert "No limit was reached and left again yet." in text


def test_an_unknown_figure_is_a_dash_with_its_reason(as_alice: Client) -> None:
    html = as_alice.get(LIST).content.decode()
    assert '<span class="unknown" title="It was never held against a book">—</span>' in html


def test_each_metric_is_offered_with_its_meaning(as_alice: Client) -> None:
    text = text_of(as_alice.get("/account/limits/new"))
    assert all(name in text for name in limit_words.METRICS.values())
    assert "The loss of one day that 99 days of 100 stay below" in text


def test_a_limit_is_set_as_people_write_numbers(as_alice: Client, alice: User) -> None:
    typed = {"of": "GLOBAL|", "warn": "₹50,000", "block": "1,50,000", "action": "KILL", "note": "enough"}
    answer = as_alice.post(f"{NEW}DAY_LOSS", typed, follow=True)
    row = RiskLimit.objects.get(user=alice, metric=Metric.DAY_LOSS)
    assert (row.warn, row.block, row.action, row.note) == (50_000, 150_000, Action.KILL, "enough")
    assert row.changed_by == alice
    text = text_of(answer)
    assert "The limit is set: Today’s loss, in rupees, the whole book." in text
    assert "At ₹1,50,000 : stop trading at all brokers" in text


def test_amounts_are_marked_for_privacy_and_percentages_are_not(as_alice: Client) -> None:
    as_alice.post(f"{NEW}DAY_LOSS", {"of": "GLOBAL|", "warn": "50000"})
    html = as_alice.get(LIST).content.decode()
    assert "<strong data-money>₹50,000</strong>" in html
    assert "<strong>75%</strong>" in html


def test_inputs_of_amounts_are_marked_for_privacy_too(as_alice: Client, alice: User) -> None:
    def marked(page: str) -> int:
        return as_alice.get(page).content.decode().count("data-amount")

    assert [marked(f"{NEW}DAY_LOSS"), marked(f"{NEW}VAR_99_PCT"), marked("/account/orders")] == [2, 0, 2]


def test_a_meter_of_an_amount_says_a_share_and_no_amount(as_alice: Client, alice: User, blocking: RiskLimit) -> None:
    standing(
        blocking, metric=Metric.DAY_LOSS, warn=Decimal(50_000), block=Decimal(98_765_432), value=Decimal(24_691_358)
    )
    [limit] = as_alice.get(LIST).context["of_the_book"]
    assert limit["meter"] == {"value": "25", "max": "100", "high": "0"}
    standing(blocking, metric=Metric.MARGIN_PCT, warn=Decimal(75), block=Decimal(90), value=Decimal("80.5"))
    [limit] = as_alice.get(LIST).context["of_the_book"]
    assert limit["meter"] == {"value": "80.5", "max": "90", "high": "75"}


def test_what_is_chosen_begins_with_a_capital_and_keeps_those_within(as_alice: Client) -> None:
    text = text_of(as_alice.get(f"{NEW}DAY_LOSS"))
    assert "Stop trading at all brokers, until I re-arm it" in text
    assert "Futures and options" in text_of(as_alice.get(f"{NEW}GROSS_EXPOSURE"))


@pytest.mark.parametrize(
    ("metric", "typed", "field", "words"),
    [
        ("VAR_99_PCT", {"of": "GLOBAL|"}, "block", "needs a warning level, a block level, or both. Enter one of the"),
        ("VAR_99_PCT", {"of": "GLOBAL|", "warn": "9", "block": "3"}, "warn", "Enter a warning level that is not above"),
        ("VAR_99_PCT", {"of": "GLOBAL|", "warn": "9"}, "of", "There is a limit of this metric, scope and key already."),
        ("VAR_99_PCT", {"of": "BROKER|", "warn": "9"}, "of", "This is not measured by that scope. Choose another."),
        ("VAR_99_PCT", {"of": "", "warn": "9"}, "of", "is not a valid choice"),
        ("DAY_LOSS", {"of": "GLOBAL|", "block": "9", "action": "NOTIFY"}, "action", "Choose one of those that stop"),
        ("DAY_LOSS", {"of": "ACCOUNT|not-mine", "warn": "9"}, "of", "There is nothing of yours by that name"),
        ("DAY_LOSS", {"of": "GLOBAL|", "warn": "much"}, "warn", "Enter a number, such as 12.5."),
        ("DAY_LOSS", {"of": "GLOBAL|", "warn": "0"}, "warn", "Enter a number above zero."),
    ],
)
def test_a_refusal_stands_beside_its_field(
    metric: str, typed: dict[str, str], field: str, words: str, as_alice: Client, alice: User
) -> None:
    as_alice.get(LIST)
    before = RiskLimit.objects.filter(user=alice).count()
    answer = as_alice.post(f"{NEW}{metric}", typed)
    assert (answer.status_code, words in beside(answer, field)) == (200, True), beside(answer, field)
    assert RiskLimit.objects.filter(user=alice).count() == before


def test_only_what_the_service_takes_is_offered_as_an_action(alice: User) -> None:
    assert limit_words.actions_of(alice, Metric.DAY_LOSS) == [Action.BLOCK_INCREASING, Action.REDUCE_ONLY, Action.KILL]
    assert Action.KILL not in limit_words.actions_of(alice, Metric.ORDER_VALUE)
    assert limit_words.actions_of(alice, Metric.VAR_99_PCT) == list(Action)


def test_one_strategy_is_named_by_hand(as_alice: Client, alice: User) -> None:
    as_alice.post(f"{NEW}ORDER_QUANTITY", {"of": "STRATEGY|", "strategy": "momentum", "block": "10"})
    row = RiskLimit.objects.get(user=alice, metric=Metric.ORDER_QUANTITY)
    assert (row.scope, row.scope_key, row.block) == (Scope.STRATEGY, "momentum", 10)


def test_tightening_asks_for_no_proof(unproven: Client, blocking: RiskLimit) -> None:
    typed = {"is_enabled": "on", "warn": "70", "block": "80", "action": "BLOCK_INCREASING", "note": "Hers"}
    assert unproven.post(f"{LIST}/{blocking.pk}", typed).url == LIST
    blocking.refresh_from_db()
    assert (blocking.warn, blocking.block) == (70, 80)


@pytest.mark.parametrize(
    "looser",
    [
        {"is_enabled": "on", "warn": "75", "block": "95", "action": "BLOCK_INCREASING"},
        {"is_enabled": "on", "warn": "75", "block": "90", "action": "NOTIFY"},
        {"is_enabled": "on", "warn": "75", "block": ""},
        {"warn": "75", "block": "90", "action": "BLOCK_INCREASING"},
    ],
    ids=["higher", "milder", "no block", "off"],
)
def test_loosening_asks_for_a_proof_and_keeps_what_was_typed(
    looser: dict[str, str], unproven: Client, alice: User, blocking: RiskLimit
) -> None:
    page = f"{LIST}/{blocking.pk}"
    assert unproven.post(page, looser).url == f"/step-up?next=%2Faccount%2Flimits%2F{blocking.pk}"
    blocking.refresh_from_db()
    assert (blocking.is_enabled, blocking.block, blocking.action) == (True, 90, Action.BLOCK_INCREASING)
    prove(unproven, alice)
    form = unproven.get(page)
    assert "Look at it once more, and save." in text_of(form)
    typed = form.context["form"].data
    assert {name: typed.get(name) for name in looser} == looser
    assert unproven.post(page, typed.dict()).url == LIST
    blocking.refresh_from_db()
    assert (blocking.is_enabled, blocking.block or "") == ("is_enabled" in looser, Decimal(looser["block"] or 0) or "")


def test_what_was_typed_is_shown_once_and_on_its_own_page_alone(
    unproven: Client, alice: User, blocking: RiskLimit
) -> None:
    unproven.post(f"{LIST}/{blocking.pk}", {"warn": "75", "block": ""})
    other = limits.create(alice, DEFAULTS[0], by=alice, now=blocking.changed_at)
    assert not unproven.get(f"{LIST}/{other.pk}").context["form"].is_bound
    assert not unproven.get(f"{LIST}/{blocking.pk}").context["form"].is_bound


def test_removing_what_blocks_asks_for_a_proof_and_then_whether_it_is_meant(
    unproven: Client, alice: User, blocking: RiskLimit
) -> None:
    page = f"{LIST}/{blocking.pk}/remove"
    assert unproven.post(page).url.startswith("/step-up?next=")
    assert RiskLimit.objects.filter(pk=blocking.pk).exists()
    prove(unproven, alice)
    assert "From then on no order is held to it." in text_of(unproven.get(page))
    unproven.head(page)
    assert RiskLimit.objects.filter(pk=blocking.pk).exists()
    assert "The limit is removed." in text_of(unproven.post(page, follow=True))
    assert not RiskLimit.objects.filter(pk=blocking.pk).exists()
    assert RiskBreach.objects.get(user=alice).cleared_at is not None


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({}, "From then on no order is held to it."),
        ({"is_enabled": False}, "It is off already; nothing is held to it now."),
        ({"action": Action.NOTIFY}, "You are not told of it any more. It stops nothing now."),
        ({"block": None}, "You are not told of it any more. It stops nothing now."),
        ({"metric": Metric.DAY_LOSS_PCT}, "no order is held to it. A lock of the day that it has set already stays"),
        ({"action": Action.KILL}, "no order is held to it. Trading that it has stopped stays stopped until you re-arm"),
    ],
    ids=["blocks", "off", "stops nothing", "warns alone", "a day's loss", "kills"],
)
def test_what_removing_means_depends_on_what_it_does_now(
    changed: dict[str, object], words: str, as_alice: Client, blocking: RiskLimit
) -> None:
    standing(blocking, scope=Scope.GLOBAL, **changed)
    text = text_of(as_alice.get(f"{LIST}/{blocking.pk}/remove"))
    assert words in text
    assert "ever held" not in text


def test_a_breach_is_noted_once(as_alice: Client, alice: User, blocking: RiskLimit) -> None:
    breach = RiskBreach.objects.get(user=alice)
    page = f"{LIST}/breaches/{breach.pk}/acknowledge"
    assert "80% , its level 75% , at worst 80%" in text_of(as_alice.get(LIST))
    text = text_of(as_alice.post(page, {"note": "hedged"}, follow=True))
    assert "Noted. You are not told of it again, unless it gets worse." in text
    assert ": hedged" in text
    assert "Somebody has taken note of this already." in text_of(as_alice.post(page, follow=True))
    breach.refresh_from_db()
    assert (breach.acknowledged_by, breach.acknowledgement) == (alice, "hedged")


def test_a_note_that_is_too_long_is_refused(as_alice: Client, alice: User, blocking: RiskLimit) -> None:
    breach = RiskBreach.objects.get(user=alice)
    answer = as_alice.post(f"{LIST}/breaches/{breach.pk}/acknowledge", {"note": "x" * 301}, follow=True)
    assert "a note has 300 characters at most" in text_of(answer)
    breach.refresh_from_db()
    assert breach.acknowledged_at is None


@pytest.mark.parametrize(
    ("value", "metric", "words"),
    [
        (Decimal("12.500000"), "VAR_99_PCT", "12.5%"),
        (Decimal(150_000), "DAY_LOSS", "₹1,50,000"),
        (Decimal("1200"), "ORDER_QUANTITY", "1,200"),
        (Decimal("1.50"), "LEVERAGE_RATIO", "1.5×"),
        (Decimal("0.000001"), "VAR_99_PCT", "0.000001%"),
        (Decimal(0), "VAR_99_PCT", "0%"),
        (None, "VAR_99_PCT", None),
    ],
)
def test_a_level_in_words(value: Decimal | None, metric: str, words: str | None) -> None:
    assert limit_words.level(value, metric) == words


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("24.996", "24.996%"),
        ("25.000001", "25.000001%"),
        ("25", "25%"),
        ("24.985", "24.99%"),
        ("19.9999", "19.9999%"),
        ("30.125", "30.13%"),
    ],
)
def test_rounding_puts_no_figure_on_a_level_that_it_has_not_reached(value: str, words: str) -> None:
    assert limit_words.level(Decimal(value), "VAR_99_PCT", beside=[Decimal(20), None, Decimal(25)]) == words


def test_a_figure_just_below_its_block_level_reads_so(as_alice: Client, blocking: RiskLimit) -> None:
    standing(blocking, state="WARN", value=Decimal("89.996"))
    assert "89.996% now" in text_of(as_alice.get(LIST))


def standing(blocking: RiskLimit, **changed: object) -> None:
    now = blocking.changed_at
    for name, value in {"evaluated_at": now, "state_since": now, "scope": Scope.ACCOUNT, **changed}.items():
        setattr(blocking, name, value)
    blocking.save()


def test_of_many_those_are_named_that_were_reached(as_alice: Client, blocking: RiskLimit) -> None:
    since = blocking.changed_at.isoformat()
    unknown = {"state": "UNKNOWN", "value": None, "since": since}
    reached = {"state": "WARN", "value": "80", "since": since}
    states = {"one": reached, "two": unknown, "three": unknown}
    standing(blocking, state="WARN", value=Decimal(80), states=states)
    text = text_of(as_alice.get(LIST))
    assert "80% now, the worst of them, since" in text
    assert "Warning one 80%" in text
    assert "2 of them are not wholly known: each can reach a level, and none is cleared by that." in text


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"state": "UNKNOWN", "value": Decimal(10)}, "Known in part"),
        ({"state": "UNKNOWN", "value": None}, "Not known"),
        ({"state": "OK", "value": None, "evaluated_at": None}, "Not looked at yet"),
        ({"state": "OK", "value": Decimal(10), "is_enabled": False}, "Off"),
        ({"state": "BLOCK", "value": Decimal(95)}, "Reached"),
    ],
)
def test_the_state_in_words(changed: dict[str, object], words: str, as_alice: Client, blocking: RiskLimit) -> None:
    standing(blocking, **changed)
    page = as_alice.get(LIST)
    [limit] = page.context["of_the_book"]
    assert limit["state"] == words
    assert words in text_of(page)


def test_the_page_of_risk_calls_it_by_the_same_names_and_rounds_as_little(alice: User, blocking: RiskLimit) -> None:
    standing(blocking, state="WARN", value=Decimal("89.996"))
    RiskLimit.objects.filter(pk=blocking.pk).update(scope="ACCOUNT", scope_key="an-id")
    [told] = [each for each in risk_page.limits(alice, {"an-id": "Zerodha of Alice"}) if each["id"] == blocking.pk]
    assert (told["of"], told["value"]) == ("Zerodha of Alice", "89.996")
