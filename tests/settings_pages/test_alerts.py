"""Ways for alerts as pages: added with a secret that is shown once, changed, tried, removed; and the reminder."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
import time_machine
from allauth.account.models import EmailAddress
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from accounts.alert_models import CHOICES, AlertDelivery, AlertKind, AlertRoute, DeliveryState, Way
from accounts.models import User
from brokers.alert_models import AlertWebhook
from brokers.models import LoginReminder
from tests.portfolio.limit_samples import rows_of_limits
from tests.settings_pages.conftest import beside, prove, text_of
from trademaster.settings_pages import alerts

LIST = "/account/alerts"
NEW = "/account/alerts/new"
EVERY = [kind.value for kind in CHOICES]
ADDRESS = "http://127.0.0.1:9/a-secret-place"


@pytest.fixture
def route(alice: User) -> AlertRoute:
    found: AlertRoute = rows_of_limits(alice)["route"]
    return found


@pytest.fixture(autouse=True)
def _to_this_machine(settings: Settings) -> None:
    settings.SIMULATED_BROKERS = True


def typed(**changed: Any) -> dict[str, Any]:
    return {"is_enabled": "on", "name": "Hers", "kinds": EVERY, **changed}


def test_the_way_by_email_is_there_and_says_that_it_leads_nowhere(as_alice: Client) -> None:
    text = text_of(as_alice.get(LIST))
    assert "Leads nowhere" in text
    assert "Alerts by it reach nobody: confirm your e-mail address first." in text
    assert "Nothing yet. Send a test, and it stands here with what became of it." in text


def test_a_webhook_is_added_and_its_secret_is_shown_this_once(as_alice: Client, alice: User) -> None:
    made = as_alice.post(NEW, {"name": "My phone", "url": ADDRESS, "kinds": EVERY})
    route = AlertRoute.objects.get(user=alice, way=Way.WEBHOOK)
    assert made.url == f"{LIST}/{route.pk}"
    as_alice.head(made.url)
    answer = as_alice.get(made.url)
    secret = AlertWebhook.objects.get(route=route).secret_encrypted
    assert secret is not None
    assert secret.reveal() in text_of(answer)
    assert "no-store" in answer["Cache-Control"]
    page = as_alice.get(LIST)
    assert "By webhook to 127.0.0.1:9" in text_of(page)
    assert secret.reveal() not in page.content.decode()
    assert "a-secret-place" not in page.content.decode()
    again = as_alice.get(made.url)
    assert secret.reveal() not in again.content.decode()
    assert "By webhook to 127.0.0.1:9" in text_of(again)
    assert secret.reveal() not in str(dict(as_alice.session))


def test_a_new_secret_that_nobody_came_for_is_not_shown_later(as_alice: Client) -> None:
    made = as_alice.post(NEW, {"name": "My phone", "url": ADDRESS, "kinds": EVERY})
    with time_machine.travel(timezone.now() + timedelta(minutes=6)):
        assert "new-secret" not in as_alice.get(made.url).content.decode()


def test_adding_one_asks_for_a_proof_before_anything_is_typed(unproven: Client, alice: User) -> None:
    for ask in (unproven.get, unproven.post):
        assert ask(NEW).url == "/step-up?next=%2Faccount%2Falerts%2Fnew"
    assert not AlertRoute.objects.filter(user=alice, way=Way.WEBHOOK).exists()


@pytest.mark.parametrize(
    ("sent", "field", "words"),
    [
        ({"name": "x", "url": "nonsense"}, "url", "Enter a whole address, such as https://example.com/hook"),
        ({"name": "x", "url": "http://example.com/hook"}, "url", "Enter an address that begins with https://."),
        ({"name": "", "url": ADDRESS}, "name", "Give it a name."),
        ({"name": "x", "url": ADDRESS, "quiet_from": "22:00"}, "quiet_until", "have a beginning and an end, or neith"),
        ({"name": "x" * 61, "url": ADDRESS}, "name", "of 60 letters at most"),
    ],
)
def test_a_refusal_stands_beside_its_field(
    sent: dict[str, Any], field: str, words: str, as_alice: Client, alice: User
) -> None:
    answer = as_alice.post(NEW, {"kinds": EVERY, **sent})
    assert words in beside(answer, field), beside(answer, field)
    assert not AlertRoute.objects.filter(user=alice, way=Way.WEBHOOK).exists()


def test_what_silences_nothing_urgent_asks_for_no_proof(unproven: Client, route: AlertRoute) -> None:
    kinds = [kind for kind in EVERY if kind != AlertKind.RISK_CLEARED]
    quiet = {"quiet_from": "22:00", "quiet_until": "07:00"}
    answer = unproven.post(f"{LIST}/{route.pk}", typed(kinds=kinds, name="Phone", **quiet), follow=True)
    assert "quiet 22:00 to 07:00 IST" in text_of(answer)
    assert "1 kind left out" in text_of(answer)
    route.refresh_from_db()
    assert (route.name, route.kinds) == ("Phone", sorted(kinds))


@pytest.mark.parametrize(
    "sent",
    [
        {"name": "Hers", "kinds": EVERY},
        typed(kinds=["RISK_WARNING"]),
        typed(paused_until="2031-01-01T09:00"),
    ],
    ids=["off", "no blocks", "paused"],
)
def test_silence_asks_for_a_proof_and_keeps_what_was_typed(
    sent: dict[str, Any], unproven: Client, alice: User, route: AlertRoute
) -> None:
    page = f"{LIST}/{route.pk}"
    assert unproven.post(page, sent).url.startswith("/step-up?next=")
    prove(unproven, alice)
    form = unproven.get(page).context["form"]
    assert form.data.getlist("kinds") == sent["kinds"]
    assert unproven.post(page, dict(form.data.lists())).url == LIST
    route.refresh_from_db()
    assert (route.is_enabled, route.kinds, route.paused_until is not None) == (
        "is_enabled" in sent,
        sorted(sent["kinds"]),
        "paused_until" in sent,
    )


def test_a_test_is_sent_and_stands_with_what_became_of_it(
    as_alice: Client, alice: User, route: AlertRoute, django_capture_on_commit_callbacks: Any
) -> None:
    with django_capture_on_commit_callbacks():
        text = text_of(as_alice.post(f"{LIST}/{route.pk}/test", follow=True))
    assert "A test goes out by “Hers”." in text
    delivery = AlertDelivery.objects.get(kind=AlertKind.TEST, route=route)
    assert "A test of your alerts Hers Waiting" in text
    AlertDelivery.objects.filter(pk=delivery.pk).update(
        state=DeliveryState.GIVEN_UP, attempts=6, last_error="webhook_http_503"
    )
    assert "Given up the address answered with HTTP 503, 6 times" in text_of(as_alice.get(LIST))


def test_a_test_to_nowhere_is_refused_in_words(as_alice: Client, alice: User) -> None:
    as_alice.get(LIST)
    by_email = AlertRoute.objects.get(user=alice, way=Way.EMAIL)
    refused = text_of(as_alice.post(f"{LIST}/{by_email.pk}/test", follow=True))
    assert "There is no confirmed e-mail address on this account." in refused
    EmailAddress.objects.create(user=alice, email=alice.email, verified=True, primary=True)
    by_email.is_enabled = False
    by_email.save()
    refused = text_of(as_alice.post(f"{LIST}/{by_email.pk}/test", follow=True))
    assert "This way for alerts is turned off. Turn it on first." in refused
    assert not AlertDelivery.objects.filter(route=by_email).exists()


def test_too_many_tests_are_held_back_by_the_count_of_the_api(
    as_alice: Client, route: AlertRoute, settings: Settings
) -> None:
    rates = settings.REST_FRAMEWORK["DEFAULT_THROTTLE_RATES"]
    settings.REST_FRAMEWORK = {**settings.REST_FRAMEWORK, "DEFAULT_THROTTLE_RATES": {**rates, "account": "1/min"}}
    as_alice.post(f"{LIST}/{route.pk}/test")
    again = text_of(as_alice.post(f"{LIST}/{route.pk}/test", follow=True))
    assert "Nothing was done: that was too often. Try again in " in again
    assert AlertDelivery.objects.filter(kind=AlertKind.TEST).count() == 1


def test_a_muted_way_says_so_and_what_ends_it(as_alice: Client, route: AlertRoute) -> None:
    route.failures, route.muted_until = 5, timezone.now() + timedelta(minutes=15)
    route.last_error = "webhook_timeout"
    route.save()
    text = text_of(as_alice.get(LIST))
    assert "It failed 5 times in a row: only what is urgent is tried until" in text
    assert "last failure: the address did not answer in time" in text


def test_a_way_is_removed_after_a_proof_and_a_question(unproven: Client, alice: User, route: AlertRoute) -> None:
    page = f"{LIST}/{route.pk}/remove"
    assert unproven.post(page).url.startswith("/step-up?next=")
    prove(unproven, alice)
    unproven.head(page)
    assert "Nothing goes to hooks.example any more." in text_of(unproven.get(page))
    assert "“Hers” is removed" in text_of(unproven.post(page, follow=True))
    assert not AlertRoute.objects.filter(pk=route.pk).exists()


def test_the_way_by_email_is_kept(as_alice: Client, alice: User) -> None:
    as_alice.get(LIST)
    by_email = AlertRoute.objects.get(user=alice, way=Way.EMAIL)
    assert "can be turned off, and not removed. Turn it off instead." in text_of(
        as_alice.post(f"{LIST}/{by_email.pk}/remove", follow=True)
    )
    assert AlertRoute.objects.filter(pk=by_email.pk).exists()


def test_the_reminder_gets_a_secret_once_and_keeps_it(as_alice: Client, alice: User) -> None:
    page = f"{LIST}/reminder"
    assert as_alice.post(page, {"by_email": "on", "webhook_url": ADDRESS}).url == page
    answer = as_alice.get(page)
    assert "new-secret" not in as_alice.get(page).content.decode()
    row = LoginReminder.objects.get(user=alice)
    secret = row.webhook_secret_encrypted
    assert secret is not None
    assert secret.reveal() in text_of(answer)
    assert as_alice.post(page, {"webhook_url": ADDRESS}).url == LIST
    row.refresh_from_db()
    assert (row.by_email, row.webhook_url) == (False, ADDRESS)
    assert "On by webhook" in text_of(as_alice.get(LIST))


def test_a_reminder_that_would_reach_nobody_is_refused_beside_its_field(as_alice: Client, alice: User) -> None:
    answer = as_alice.post(f"{LIST}/reminder", {"webhook_url": "ftp://example.com"})
    assert "Enter" in beside(answer, "webhook_url")
    alice.email = ""
    alice.save()
    answer = as_alice.post(f"{LIST}/reminder", {"by_email": "on"})
    assert beside(answer, "by_email") == "There is no e-mail address on your account. Enter one under E-mail first."
    assert not LoginReminder.objects.filter(user=alice).exists()


def test_what_failed_of_the_reminder_is_said_in_the_words_of_the_other_ways(as_alice: Client, alice: User) -> None:
    told = "e-mail: the mail server did not take the letter; webhook: HTTP 500"
    LoginReminder.objects.create(user=alice, by_email=True, webhook_url=ADDRESS, last_error=told)
    text = text_of(as_alice.get(LIST))
    assert "did not take the letter; webhook: the address answered with HTTP 500" in text


def test_codes_in_words_and_one_that_is_new() -> None:
    assert alerts.in_words("email_not_taken") == "the mail server did not take the letter"
    assert alerts.in_words("webhook_http_404") == "the address answered with HTTP 404"
    assert alerts.in_words("something_new") == "something_new"
