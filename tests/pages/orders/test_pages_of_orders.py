"""The pages of orders as the server sends them: they can be read whole, without a script."""

from __future__ import annotations

import csv
import io
import re
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.test import Client

from accounts.models import User
from brokers.domain import OrderStatus, OrderType
from brokers.models import BrokerConnection
from orders import lanes as orders_lanes
from orders import preferences, reconciling, words
from orders.charges import COMPONENTS
from orders.lifecycle import State
from orders.models import ChildOrder, IntentStatus, OrderEvent, OrderIntent, RoutingDecision, Teller
from tests.conftest import let_in
from tests.orders.conftest import NOW, child_of, later
from tests.orders.fakes import LOST_REPLY, LOST_REQUEST, Desks
from tests.orders.samples import orders_of
from tests.pages.orders.conftest import Placed
from tests.pages.test_pages import Page

pytestmark = pytest.mark.django_db

Accounts = dict[str, BrokerConnection]


def lanes(html: str) -> dict[str, str]:
    """The text of each lane, by its name."""
    parts = re.split(r'data-lane="(\w+)"', html)
    return {name: text(body) for name, body in zip(parts[1::2], parts[2::2], strict=True)}


def text(html: str) -> str:
    return " ".join(re.sub(r"<[^>]*>", " ", html).split())


def got(client: Client, path: str = "/orders/") -> str:
    answer = client.get(path)
    assert answer.status_code == 200
    return answer.content.decode()


# --- lanes ------------------------------------------------------------------------------------------------------------
def test_without_orders_each_lane_says_what_it_would_hold(page_of: Client) -> None:
    shown = lanes(got(page_of))
    assert list(shown) == ["unknown", "approval", "working", "ended"]
    assert "No order is in doubt." in shown["unknown"]
    assert "Nothing waits for your approval." in shown["approval"]


def test_whoever_has_no_broker_is_told_where_to_begin(as_bob: Client) -> None:
    assert "No broker is connected, so that no order can go anywhere." in got(as_bob)


def test_a_working_order_says_what_it_means(page_of: Client, placed: Placed) -> None:
    placed()
    row = lanes(got(page_of))["working"]
    assert "BUY INFY" in row
    assert "0 / 10" in row
    assert "1,500.05" in row
    assert "Taken at Zerodha" in row
    assert "It is in no exchange’s book yet; nothing is dealt." in row


def test_what_is_not_known_is_on_top_with_all_that_is_known_of_it(
    page_of: Client, placed: Placed, desks: Desks, accounts: Accounts
) -> None:
    desks[accounts["zerodha"]].faults.append(LOST_REPLY)
    intent = placed()
    child = child_of(intent)
    html = got(page_of)
    row = lanes(html)["unknown"]
    assert html.index('data-lane="unknown"') < html.index('data-lane="approval"')
    for said in (
        "Not known at Zerodha",
        "Nothing of it is sent again.",
        "since 10:30:00 IST",
        f"searched for our label {child.tag}",
        "Next look 10:30:01 IST",
        "Do not order the same elsewhere yet.",
    ):
        assert said in row, said
    assert "No order is at a broker now." in lanes(html)["working"]

    reconciling.run(later(2), desks)
    html = got(page_of)
    assert "No order is in doubt." in lanes(html)["unknown"]
    assert "Open at Zerodha" in lanes(html)["working"]


def test_after_a_minute_the_owner_is_told_to_look_and_a_later_day_is_settled_by_its_note(
    page_of: Client, placed: Placed, desks: Desks, accounts: Accounts, clock: Any, alice: User
) -> None:
    desk = desks[accounts["zerodha"]]
    desk.faults.append(LOST_REQUEST)
    desk.unreadable = True
    placed()
    for moment in (1.5, 70, 71):
        reconciling.run(later(moment), desks)
    clock.move_to(later(80), tick=True)
    row = lanes(got(page_of))["unknown"]
    assert "Look into your account at Zerodha for BUY 10 before you order the same elsewhere." in row
    assert "Filled" not in row.partition("To do")[2].partition("Waiting for you")[0]

    clock.move_to(NOW + timedelta(days=1), tick=True)
    let_in(page_of, alice)
    html = got(page_of)
    assert "the order book of Zerodha tells of it no more, either way." in lanes(html)["unknown"]
    assert 'data-action-form="settle"' in html


def test_what_waits_says_until_when_and_has_both_answers(page_of: Client, placed: Placed, alice: User) -> None:
    preferences.choose(alice, **SETTINGS)
    intent = placed()
    html = got(page_of)
    row = lanes(html)["approval"]
    assert intent.status == IntentStatus.AWAITING_APPROVAL
    assert "Waits for your approval" in row
    assert "until 10:40:00 IST" in row
    assert {"approve", "decline"} <= set(re.findall(r'data-action="(\w+)"', html))


SETTINGS: dict[str, Any] = {
    "approval_above": Decimal(1),
    "approval_products": [],
    "approval_minutes": 10,
    "split_penalty": Decimal(5),
    "sells_unsettled": False,
    "minimises_tax": False,
    "broker_order": [],
}


def test_an_order_that_was_refused_says_why_and_what_to_do(page_of: Client, placed: Placed) -> None:
    placed(price=Decimal("1500.03"))
    row = lanes(got(page_of))["ended"]
    assert "Refused" in row
    assert "Nothing was sent; no money moved." in row
    assert "Choose a price on the tick." in row


def test_yesterdays_orders_are_shown_when_asked_for(page_of: Client, placed: Placed) -> None:
    intent = placed(price=Decimal("1500.03"))
    OrderIntent.objects.filter(pk=intent.pk).update(status_since=NOW - timedelta(days=1))
    assert "INFY" not in lanes(got(page_of))["ended"]
    assert "INFY" in lanes(got(page_of, "/orders/?days=all"))["ended"]


def test_a_filter_narrows_and_never_lets_an_order_in_doubt_be_forgotten(
    page_of: Client, placed: Placed, desks: Desks, accounts: Accounts
) -> None:
    desks[accounts["zerodha"]].faults.append(LOST_REPLY)
    placed()
    placed(11)
    named = ChildOrder.objects.get(intent__quantity=11).broker_order_id
    for query, working in (("q=infy", 1), ("q=tcs", 0), (f"q={named}", 1), ("broker=upstox", 0), ("state=WORKING", 1)):
        html = got(page_of, f"/orders/?{query}")
        assert lanes(html)["working"].count("BUY INFY") == working, query
    for query in ("q=tcs", "broker=upstox", "state=FILLED"):
        assert "1 more order is not known, and the filter hides it." in text(got(page_of, f"/orders/?{query}"))
    assert "the filter hides" not in text(got(page_of, "/orders/?state=unknown"))


@pytest.mark.parametrize("query", ["q=%00", "broker=nobody", "state=HOLD", "ended=999", "working=x", "unknown=-1"])
def test_what_makes_no_sense_in_an_address_is_left_out(page_of: Client, placed: Placed, query: str) -> None:
    placed()
    assert "BUY INFY" in lanes(got(page_of, f"/orders/?{query}"))["working"]


def test_lanes_are_paged_each_by_itself(page_of: Client, alice: User, accounts: Accounts) -> None:
    for _ in range(30):
        orders_of(alice, accounts["zerodha"])
    first, second = got(page_of), got(page_of, "/orders/?ended=2&q=sample")
    ids = [set(re.findall(r'data-key="([\w-]+)"', html)) for html in (first, second)]
    assert [len(each) for each in ids] == [25, 5]
    assert not ids[0] & ids[1]
    assert "1 of 2" in first
    assert 'href="?ended=2"' in first
    assert 'href="?ended=1&amp;q=sample"' in second


def test_the_list_costs_the_same_however_long_it_is(
    page_of: Client, placed: Placed, django_assert_max_num_queries: Any
) -> None:
    placed()
    for number in range(11, 21):
        placed(number)
    with django_assert_max_num_queries(20):
        got(page_of)


# --- one order --------------------------------------------------------------------------------------------------------
def test_an_order_is_told_whole(page_of: Client, placed: Placed, desks: Desks, accounts: Accounts) -> None:
    accounts["upstox"].trading_enabled_at = None
    accounts["upstox"].save()
    intent = placed()
    desk = desks[accounts["zerodha"]]
    desk.tell("z-1", OrderStatus.FILLED, 10)
    reconciling.run(later(2), desks)
    shown = text(got(page_of, f"/orders/{intent.pk}/"))
    for said in (
        "BUY INFY",
        "Via Zerodha (NSE): charges of ₹",
        "10 via Zerodha (NSE) at 1,500.05",
        "Left out Upstox :",
        "trading_off",
        "Stamp duty",
        "z-1",
        "10 / 10",
        "T1",
        "You asked for this order.",
        "It was decided where it goes.",
        "The call at Zerodha was answered: taken.",
        "It was filled at Zerodha.",
        "10:30:00",
        "what Zerodha told (0 s old)",
        "Nothing of it stands at a broker, so there is nothing to change.",
    ):
        assert said in shown, said
    assert "Fills" in shown


def test_an_order_names_the_exchange_that_it_went_to(page_of: Client, placed: Placed) -> None:
    """The share was chosen at NSE, and its cheaper way led to BSE."""
    intent = placed()
    assert "NSE · CNC" in text(got(page_of))
    ChildOrder.objects.filter(intent=intent).update(exchange="BSE")
    assert "BSE (asked for at NSE) · CNC" in lanes(got(page_of))["working"]
    assert text(got(page_of, f"/orders/{intent.pk}/")).count("BSE (asked for at NSE) · CNC") == 2
    (row,) = csv.DictReader(io.StringIO(page_of.get("/orders/export.csv").content.decode()))
    assert row["exchange"] == "BSE"


def test_the_next_best_is_named_with_what_it_would_cost_more(page_of: Client, placed: Placed) -> None:
    shown = text(got(page_of, f"/orders/{placed().pk}/"))
    assert re.search(r"Next best Via Upstox \(NSE\)\. ₹\d+\.\d\d worse", shown)


def test_what_stands_can_be_changed_where_that_is_allowed(
    page_of: Client, placed: Placed, desks: Desks, accounts: Accounts
) -> None:
    intent = placed()
    html = got(page_of, f"/orders/{intent.pk}/")
    assert 'name="price"' in html
    assert 'name="quantity"' in html
    desks[accounts["zerodha"]].faults.append(LOST_REPLY)
    lost = placed(11)
    html = got(page_of, f"/orders/{lost.pk}/")
    assert 'name="price"' not in html
    assert "until then nothing of it is changed" in html


def test_the_checks_before_an_order_are_shown_where_there_are_any(page_of: Client, placed: Placed) -> None:
    intent = placed()
    assert got(page_of, f"/orders/{intent.pk}/").count('<li value="') == 12
    row = RoutingDecision.objects.get(intent=intent)
    row.answer.pop("checks")  # as of an order from before there were any
    row.save(update_fields=["answer"])
    assert 'data-testid="checks"' not in got(page_of, f"/orders/{intent.pk}/")
    seen = {"code": "seen", "verdict": "PASS", "words": "No order of yours is on the other side.", "remedy": ""}
    much = {"code": "fat_finger", "verdict": "WARN", "words": "It is large.", "remedy": "Look again."}
    row.answer["checks"] = [
        {"number": 1, "name": "Self-trade", "verdict": "PASS", "findings": [seen]},
        {"number": 2, "name": "Size", "verdict": "WARN", "findings": [much]},
        {"number": 3, "name": "Flat", **much},
    ]
    row.save()
    shown = text(got(page_of, f"/orders/{intent.pk}/"))
    assert "Self-trade passed No order of yours is on the other side." in shown
    assert "Size warning It is large. Look again. fat_finger" in shown
    assert "Flat warning It is large." in shown


def test_words_of_a_broker_are_text_and_no_markup(page_of: Client, alice: User, accounts: Accounts) -> None:
    intent = orders_of(alice, accounts["zerodha"], reason="<script>alert(1)</script>")["order"]
    for path in ("/orders/", f"/orders/{intent}/"):
        html = got(page_of, path)
        assert "<script>alert" not in html
        assert "&lt;script&gt;alert" in html


@pytest.mark.parametrize("path", ["/orders/", "/orders/{}/", "/"])
def test_a_page_is_fit_for_a_strict_content_policy(page_of: Client, placed: Placed, path: str) -> None:
    page = Page(got(page_of, path.format(placed().pk)))
    assert page.inline == []
    page.loaded.remove("/manifest.webmanifest")  # a page of ours, held by tests/pages/test_frame.py
    assert [address for address in page.loaded if not address.startswith("/static/")] == []
    assert len(page.ids) == len(set(page.ids))


def test_another_persons_order_does_not_exist(as_mallory: Client, placed: Placed) -> None:
    intent = placed()
    assert as_mallory.get(f"/orders/{intent.pk}/").status_code == 404
    assert "INFY" not in "".join(lanes(got(as_mallory)).values())
    assert len(list(csv.reader(io.StringIO(got(as_mallory, "/orders/export.csv"))))) == 1


@pytest.mark.parametrize("path", ["/orders/", "/orders/export.csv", "/orders/00000000-0000-0000-0000-000000000000/"])
def test_support_has_no_orders_of_its_own(as_sam: Client, path: str) -> None:
    assert as_sam.get(path)["Location"] == "/admin/"


# --- taken along ------------------------------------------------------------------------------------------------------
def test_the_csv_holds_what_the_filter_is_about_with_exact_numbers(page_of: Client, placed: Placed) -> None:
    placed()
    placed(11, price=Decimal("1499.5"))
    answer = page_of.get("/orders/export.csv?q=infy")
    assert answer["Content-Type"] == "text/csv; charset=utf-8"
    assert "attachment" in answer["Content-Disposition"]
    rows = list(csv.DictReader(io.StringIO(answer.content.decode())))
    told = [(row["symbol"], row["quantity"], row["filled"], row["price"], row["not_known"]) for row in rows]
    assert sorted(told) == [("INFY", "10", "0", "1500.05", "no"), ("INFY", "11", "0", "1499.5", "no")]
    assert {row["created_at_ist"] for row in rows} == {"2026-11-26 10:30:00"}
    assert list(csv.DictReader(io.StringIO(page_of.get("/orders/export.csv?q=tcs").content.decode()))) == []


@pytest.mark.parametrize(
    ("reason", "cell"),
    [("=HYPERLINK(1)", "'=HYPERLINK(1)"), ("\n=1+1", "'\n=1+1"), ("-12.50", "-12.50"), ("-12.50-1", "'-12.50-1")],
)
def test_no_cell_is_a_formula_to_a_spreadsheet_and_a_number_stays_one(
    page_of: Client, alice: User, accounts: Accounts, reason: str, cell: str
) -> None:
    orders_of(alice, accounts["zerodha"], reason=reason)
    written = page_of.get("/orders/export.csv").content.decode()
    (row,) = csv.DictReader(io.StringIO(written, newline=""))
    assert row["reason"] == cell


def test_an_average_is_not_rounded_to_paise_in_the_csv(page_of: Client, placed: Placed) -> None:
    child = placed().children.get()
    ChildOrder.objects.filter(pk=child.pk).update(filled_quantity=3, average_price=Decimal("1500.03333333"))
    (row,) = csv.DictReader(io.StringIO(page_of.get("/orders/export.csv").content.decode()))
    assert (row["filled"], row["average_price"]) == ("3", "1500.03333333")


def test_a_csv_that_is_cut_says_so_before_its_head(
    page_of: Client, placed: Placed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(orders_lanes, "MOST_CSV_ROWS", 2)
    for number in (10, 11, 12):
        intent = placed(number)
        OrderIntent.objects.filter(pk=intent.pk).update(created_at=NOW + timedelta(minutes=number))
    rows = list(csv.reader(io.StringIO(page_of.get("/orders/export.csv").content.decode())))
    assert rows[0] == ["INCOMPLETE: the newest 2 of 3 orders. Narrow the filter for the older ones."]
    assert rows[1] == list(orders_lanes.CSV_HEAD)
    assert [row[7] for row in rows[2:]] == ["12", "11"]
    placed_all = list(csv.reader(io.StringIO(page_of.get("/orders/export.csv?q=tcs").content.decode())))
    assert placed_all == [list(orders_lanes.CSV_HEAD)]


# --- words ------------------------------------------------------------------------------------------------------------
def test_every_state_has_words() -> None:
    assert set(words.CHILD) == set(State)
    assert set(words.INTENT) == set(IntentStatus)
    assert set(words.TELLERS) == set(Teller)
    assert set(words.COMPONENTS) == set(COMPONENTS)


def test_every_line_that_the_house_writes_has_a_sentence(page_of: Client, placed: Placed, desks: Desks) -> None:
    intent = placed()
    reconciling.run(later(2), desks)
    codes = set(OrderEvent.objects.filter(intent=intent).values_list("code", flat=True))
    assert codes
    assert codes <= set(words.EVENTS)
    assert words.happened("seen_filled", "FILLED", "Zerodha") == "It was filled at Zerodha."
    assert words.happened("never_heard_of", "FILLED", None) == "Never heard of: filled."


def test_prices_are_said_as_they_were_asked_for() -> None:
    assert words.at_price(OrderType.MARKET, None, None) == "market"
    assert (
        words.at_price(OrderType.SL, Decimal("1234567.5"), Decimal("1234570")) == "12,34,567.50, trigger 12,34,570.00"
    )
    assert words.at_price(OrderType.LIMIT, None, None) == "not known"
