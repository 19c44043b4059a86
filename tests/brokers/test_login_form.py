"""Our own login form, and redirects that lose their state: what is typed goes to the broker once, and nowhere else."""

from __future__ import annotations

import logging
from datetime import timedelta
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from django.contrib.messages import get_messages
from django.db import connection as database
from django.test import Client
from django.utils import timezone

from accounts.models import User
from brokers import logins, reach, registry
from brokers.domain import ConnectionStatus
from brokers.models import BrokerConnection, OAuthState
from brokers.simulation.server import SimulatedBrokers
from tests.brokers.test_api import refused as refused_by_api
from tests.brokers.test_api import send
from tests.brokers.test_callback import refused
from tests.conftest import signed_in
from tests.people import begin, form, own_app

FORMS = [(broker.spec.slug, method.name) for broker in registry.brokers() for method in broker.spec.login_methods]
TYPED = [
    (slug, name)
    for slug, name in FORMS
    if any(known.fields and known.name == name for known in registry.load(slug).spec.login_methods)
]
ONLY_BY_FORM = [broker.spec.slug for broker in registry.brokers() if broker.spec.callback is None]
LOSING_STATE = [
    broker.spec.slug for broker in registry.brokers() if broker.spec.callback and broker.spec.callback.may_drop_state
]
INITIATE, COMPLETE = "/brokers/connect/initiate", "/brokers/connect/complete"

each_form = pytest.mark.parametrize(("slug", "method"), FORMS)
each_typed_form = pytest.mark.parametrize(("slug", "method"), TYPED)
each_forgetful = pytest.mark.parametrize("slug", LOSING_STATE)


def page_for(user: User, slug: str, method: str | None = None) -> str:
    """The address of our form, as `initiate` gives it."""
    address = urlsplit(begin(user, slug, method).authorization_url)
    assert f"{address.scheme}://{address.netloc}" == "http://127.0.0.1:8000"
    return f"{address.path}?{address.query}"


def submitted(client: Client, address: str, fields: dict[str, str]) -> str:
    """The code with which a submitted form is refused. Fails unless nothing was connected."""
    answer = client.post(address, data=fields)
    assert answer.status_code == 302
    target = urlsplit(answer["Location"])
    broker = parse_qs(target.query)["broker"][0]
    assert target.path == (f"/connect/{broker}" if broker in registry.slugs() else "/connect")
    assert "no-store" in answer["Cache-Control"]
    assert list(get_messages(answer.wsgi_request))
    assert not BrokerConnection.objects.exists()
    assert client.get(answer["Location"]).status_code == 200
    return parse_qs(target.query)["refused"][0]


@pytest.fixture
def apps(alice: User, brokers: SimulatedBrokers) -> None:
    for slug in {slug for slug, _ in FORMS} | set(LOSING_STATE):
        own_app(alice, slug, brokers)


@pytest.mark.usefixtures("apps")
class TestTheForm:
    @each_form
    def test_a_login_ends_on_the_dashboard(
        self, slug: str, method: str, alice: User, as_alice: Client, brokers: SimulatedBrokers
    ) -> None:
        answer = as_alice.post(page_for(alice, slug, method), data=form(slug, brokers, method))
        assert (answer.status_code, answer["Location"]) == (302, "/")
        connection = BrokerConnection.objects.get()
        assert (connection.user, connection.broker_type, connection.status) == (alice, slug, ConnectionStatus.CONNECTED)
        assert connection.account_id == brokers.control.book(slug)["account"]["user_id"]
        assert not OAuthState.objects.exists()

    @each_form
    def test_the_same_by_the_api(self, slug: str, method: str, as_alice: Client, brokers: SimulatedBrokers) -> None:
        start = send(as_alice, "post", INITIATE, {"broker_type": slug, "method": method}).json()
        assert start["authorization_url"] == logins.own_form(slug, start["state"])
        body = {"state": start["state"], "callback": form(slug, brokers, method)}
        answer = send(as_alice, "post", COMPLETE, body)
        assert answer.status_code == 200, answer.content
        assert (answer.json()["broker_type"], answer.json()["status"]) == (slug, "CONNECTED")
        refused_by_api(send(as_alice, "post", COMPLETE, body), 400, "invalid_state")

    @pytest.mark.parametrize("slug", ONLY_BY_FORM)
    def test_without_a_redirect_the_form_needs_no_asking_for(self, slug: str, as_alice: Client) -> None:
        start = send(as_alice, "post", INITIATE, {"broker_type": slug}).json()
        assert start["authorization_url"] == logins.own_form(slug, start["state"])

    @each_form
    def test_it_asks_for_the_fields_of_every_login(self, slug: str, method: str, alice: User, as_alice: Client) -> None:
        page = as_alice.get(page_for(alice, slug, method))
        assert page.status_code == 200
        assert "no-store" in page["Cache-Control"]
        html = page.content.decode()
        for known in registry.load(slug).spec.login_methods:
            assert f'name="method" value="{known.name}"' in html
            for field in known.fields:
                assert f'<input name="{field.name}" type="{"password" if field.secret else "text"}"' in html

    def test_looking_at_it_spends_nothing(self, alice: User, as_alice: Client, brokers: SimulatedBrokers) -> None:
        address = page_for(alice, "groww")
        as_alice.get(address)
        assert as_alice.post(address, data=form("groww", brokers))["Location"] == "/"

    @each_form
    @pytest.mark.parametrize("verb", ["get", "post"])
    def test_who_is_not_signed_in_is_asked_to(
        self, verb: str, slug: str, method: str, alice: User, client: Client, brokers: SimulatedBrokers
    ) -> None:
        address = page_for(alice, slug, method)
        answer = getattr(client, verb)(address, {} if verb == "get" else form(slug, brokers, method))
        assert answer.status_code == 302
        assert urlsplit(answer["Location"]).path == "/login"
        assert OAuthState.objects.count() == 1

    @each_form
    def test_another_site_cannot_submit_it(
        self, slug: str, method: str, alice: User, brokers: SimulatedBrokers
    ) -> None:
        browser = Client(enforce_csrf_checks=True)
        browser.force_login(alice)
        address, fields = page_for(alice, slug, method), form(slug, brokers, method)
        assert browser.post(address, data=fields).status_code == 403
        assert OAuthState.objects.count() == 1
        browser.get(address)
        token = browser.cookies["csrftoken"].value
        assert browser.post(address, data={**fields, "csrfmiddlewaretoken": token})["Location"] == "/"

    def test_only_get_and_post(self, as_alice: Client) -> None:
        assert as_alice.put("/brokers/login/groww").status_code == 405

    def test_of_a_broker_we_do_not_know(self, as_alice: Client) -> None:
        assert as_alice.get("/brokers/login/barings").status_code == 404
        assert as_alice.post("/brokers/login/barings", data={"method": "totp"}).status_code == 404


@pytest.mark.usefixtures("apps")
class TestWhatIsTyped:
    @each_typed_form
    def test_a_missing_field_is_named_and_the_broker_not_asked(
        self, slug: str, method: str, alice: User, as_alice: Client, brokers: SimulatedBrokers
    ) -> None:
        [chosen] = [known for known in registry.load(slug).spec.login_methods if known.name == method]
        fields = form(slug, brokers, method)
        brokers.control.reset_counters()
        for field in chosen.fields:
            for typed in ({**fields, field.name: ""}, {k: v for k, v in fields.items() if k != field.name}):
                assert submitted(as_alice, page_for(alice, slug, method), typed) == "login_fields_missing"
                body = {"state": begin(alice, slug, method).state, "callback": {k: v for k, v in typed.items() if v}}
                error = refused_by_api(send(as_alice, "post", COMPLETE, body), 400, "login_fields_missing")
                assert field.label in error["message"]
        assert brokers.control.counters(slug) == {}

    @each_form
    @pytest.mark.parametrize("word", ["", "nothing we know", "__class__"])
    def test_a_login_that_the_broker_does_not_have(
        self, word: str, slug: str, method: str, alice: User, as_alice: Client, brokers: SimulatedBrokers
    ) -> None:
        fields = {**form(slug, brokers, method), "method": word}
        brokers.control.reset_counters()
        assert submitted(as_alice, page_for(alice, slug, method), fields) == "unknown_login_method"
        assert brokers.control.counters(slug) == {}

    @pytest.mark.parametrize("slug", ONLY_BY_FORM)
    def test_no_login_named(self, slug: str, alice: User, as_alice: Client) -> None:
        assert submitted(as_alice, page_for(alice, slug), {}) == "unknown_login_method"
        error = refused_by_api(
            send(as_alice, "post", COMPLETE, {"state": begin(alice, slug).state, "callback": {"code": "x"}}),
            400,
            "unknown_login_method",
        )
        assert registry.load(slug).spec.login_methods[0].name in error["remedy"]

    @pytest.mark.parametrize("slug", registry.slugs())
    def test_no_login_begins_by_an_unknown_method(self, slug: str, as_alice: Client, alice: User, apps: None) -> None:
        error = refused_by_api(
            send(as_alice, "post", INITIATE, {"broker_type": slug, "method": "telepathy"}), 400, "unknown_login_method"
        )
        assert error["remedy"]
        assert not OAuthState.objects.exists()

    @pytest.mark.parametrize("slug", ONLY_BY_FORM)
    def test_a_bare_code_means_nothing_there(self, slug: str, alice: User, as_alice: Client) -> None:
        body = {"state": begin(alice, slug).state, "broker_type": slug, "code": "x"}
        refused_by_api(send(as_alice, "post", COMPLETE, body), 400, "unknown_login_method")

    @each_typed_form
    def test_what_is_wrong_appears_nowhere(
        self,
        slug: str,
        method: str,
        alice: User,
        as_alice: Client,
        brokers: SimulatedBrokers,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        caplog.set_level(logging.DEBUG, logger="brokers")
        right = form(slug, brokers, method)
        typed = {name: f"mistyped-{name}-of-Alice" for name in right if name != "method"}
        address = page_for(alice, slug, method)
        answer = as_alice.post(address, data={"method": method, **typed}, follow=True)
        assert answer.redirect_chain
        assert not BrokerConnection.objects.exists()
        shown = [answer.content.decode(), *(str(message) for message in get_messages(answer.wsgi_request))]
        shown += [str(hop) for hop, _ in answer.redirect_chain]
        shown += [record.getMessage() + repr(record.__dict__) for record in caplog.records]
        assert f"{slug} " in caplog.text  # the broker was asked
        everything = "\n".join([*shown, *every_row()])
        assert [value for value in typed.values() if value in everything] == []
        page = as_alice.get(address).content.decode()  # nor is it filled in again
        assert [value for value in typed.values() if value in page] == []


def every_row() -> list[str]:
    with database.cursor() as cursor:
        found: list[str] = []
        for table in database.introspection.table_names(cursor):
            cursor.execute(f"SELECT t::text FROM {database.ops.quote_name(table)} t")  # noqa: S608 - our own tables
            found += [text for (text,) in cursor.fetchall()]
    return found


@pytest.mark.usefixtures("apps")
@each_form
class TestItsState:
    def test_replayed(self, slug: str, method: str, alice: User, as_alice: Client, brokers: SimulatedBrokers) -> None:
        address, fields = page_for(alice, slug, method), form(slug, brokers, method)
        as_alice.post(address, data=fields)
        BrokerConnection.objects.all().delete()
        assert submitted(as_alice, address, fields) == "invalid_state"

    def test_expired(self, slug: str, method: str, alice: User, as_alice: Client, brokers: SimulatedBrokers) -> None:
        address, fields = page_for(alice, slug, method), form(slug, brokers, method)
        OAuthState.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
        brokers.control.reset_counters()
        assert submitted(as_alice, address, fields) == "state_expired"
        assert brokers.control.counters(slug) == {}

    def test_absent_or_made_up(self, slug: str, method: str, as_alice: Client, brokers: SimulatedBrokers) -> None:
        fields = form(slug, brokers, method)
        for query in ("", "?state=", "?state=made-up", "?" + urlencode({"state": "0" * 300})):
            assert submitted(as_alice, f"/brokers/login/{slug}{query}", fields) == "invalid_state"

    def test_of_somebody_else_and_not_burnt(
        self, slug: str, method: str, alice: User, as_alice: Client, as_mallory: Client, brokers: SimulatedBrokers
    ) -> None:
        address = page_for(alice, slug, method)
        assert submitted(as_mallory, address, form(slug, brokers, method)) == "state_of_another_user"
        assert as_alice.post(address, data=form(slug, brokers, method))["Location"] == "/"

    def test_at_another_brokers_form(
        self, slug: str, method: str, alice: User, as_alice: Client, brokers: SimulatedBrokers
    ) -> None:
        other = next(known for known, _ in FORMS if known != slug)
        address = page_for(alice, slug, method).replace(f"/login/{slug}", f"/login/{other}")
        assert submitted(as_alice, address, form(slug, brokers, method)) == "state_of_another_broker"


class TestTwoLoginsAtOneBroker:
    """Angel One has a page of its own, and a form of ours."""

    def test_it_is_the_redirect_unless_asked_otherwise(self, alice: User, brokers: SimulatedBrokers) -> None:
        own_app(alice, "angel_one", brokers)
        assert begin(alice, "angel_one").authorization_url.startswith(brokers.brokers["angel_one"]["login_url"])
        by_form = begin(alice, "angel_one", "pin_totp")
        assert by_form.authorization_url == logins.own_form("angel_one", by_form.state)

    def test_a_broker_without_a_form_takes_none(self, alice: User, as_alice: Client, brokers: SimulatedBrokers) -> None:
        own_app(alice, "zerodha", brokers)
        state = begin(alice, "zerodha").state
        body = {"state": state, "callback": {"method": "pin_totp", "pin": "0000"}}
        refused_by_api(send(as_alice, "post", COMPLETE, body), 400, "unknown_login_method")

    def test_a_callback_cannot_name_a_method(self, alice: User, as_alice: Client, brokers: SimulatedBrokers) -> None:
        """What a browser can be sent to by a link is a redirect, whatever its parameters say."""
        own_app(alice, "angel_one", brokers)
        query = urlencode({"state": begin(alice, "angel_one").state, **form("angel_one", brokers)})
        assert refused(as_alice, f"/brokers/callback/angel_one?{query}") == "login_refused"

    def test_a_callback_of_a_broker_without_a_redirect(
        self, alice: User, as_alice: Client, brokers: SimulatedBrokers
    ) -> None:
        own_app(alice, "iifl", brokers)
        state = begin(alice, "iifl").state
        assert refused(as_alice, f"/brokers/callback/iifl?state={state}&method=keys") == "invalid_state"


class TestWithoutAnApp:
    """Groww's token of the day needs no keys of ours; its other logins do."""

    def test_the_token_is_enough(self, bob: User, as_bob: Client, brokers: SimulatedBrokers) -> None:
        answer = as_bob.post(page_for(bob, "groww"), data=form("groww", brokers, "token"))
        assert answer["Location"] == "/"
        connection = BrokerConnection.objects.get()
        assert reach.client_for(connection, now=timezone.now()).holdings().items

    @pytest.mark.parametrize("method", ["totp", "approval"])
    def test_the_others_say_that_the_keys_are_missing(
        self, method: str, bob: User, as_bob: Client, brokers: SimulatedBrokers
    ) -> None:
        assert submitted(as_bob, page_for(bob, "groww"), form("groww", brokers, method)) == "broker_app_missing"

    def test_where_every_login_needs_keys_none_begins(self, as_bob: Client, brokers: SimulatedBrokers) -> None:
        refused_by_api(send(as_bob, "post", INITIATE, {"broker_type": "iifl"}), 409, "broker_app_missing")


@pytest.mark.usefixtures("apps")
@each_forgetful
class TestAStateThatTheBrokerLoses:
    """Then the browser's own session stands in for it: another browser has no login under way."""

    @staticmethod
    def came_back(slug: str, client: Client, brokers: SimulatedBrokers) -> str:
        """Begin in this browser, log in at the broker, and return the address that it sends the browser to."""
        start = send(client, "post", INITIATE, {"broker_type": slug}).json()
        callback = brokers.login(slug, start["authorization_url"])
        address = urlsplit(callback.location)
        assert start["state"] not in callback.location
        return f"{address.path}?{address.query}"

    def test_in_the_browser_that_began(self, slug: str, as_alice: Client, brokers: SimulatedBrokers) -> None:
        assert as_alice.get(self.came_back(slug, as_alice, brokers))["Location"] == "/"

    def test_only_once(self, slug: str, as_alice: Client, brokers: SimulatedBrokers) -> None:
        address = self.came_back(slug, as_alice, brokers)
        as_alice.get(address)
        BrokerConnection.objects.all().delete()
        assert refused(as_alice, address) == "invalid_state"

    def test_not_in_another_browser_of_the_same_trader(
        self, slug: str, alice: User, as_alice: Client, brokers: SimulatedBrokers
    ) -> None:
        address = self.came_back(slug, as_alice, brokers)
        assert refused(signed_in(alice), address) == "invalid_state"
        assert as_alice.get(address)["Location"] == "/"

    def test_not_in_somebody_elses(
        self, slug: str, as_alice: Client, as_mallory: Client, brokers: SimulatedBrokers
    ) -> None:
        assert refused(as_mallory, self.came_back(slug, as_alice, brokers)) == "invalid_state"

    def test_not_with_a_login_begun_at_another_broker(
        self, slug: str, as_alice: Client, alice: User, brokers: SimulatedBrokers
    ) -> None:
        own_app(alice, "zerodha", brokers)
        send(as_alice, "post", INITIATE, {"broker_type": "zerodha"})
        address = self.came_back(slug, signed_in(alice), brokers)
        assert refused(as_alice, address) == "invalid_state"

    def test_not_after_its_ten_minutes(self, slug: str, as_alice: Client, brokers: SimulatedBrokers) -> None:
        address = self.came_back(slug, as_alice, brokers)
        OAuthState.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
        assert refused(as_alice, address) == "state_expired"

    def test_a_state_that_comes_all_the_same_is_the_one_that_counts(
        self, slug: str, as_alice: Client, brokers: SimulatedBrokers
    ) -> None:
        address = self.came_back(slug, as_alice, brokers)
        assert refused(as_alice, f"{address}&state=made-up") == "invalid_state"

    def test_of_repeated_parameters_the_first_counts(
        self, slug: str, as_alice: Client, brokers: SimulatedBrokers
    ) -> None:
        address = self.came_back(slug, as_alice, brokers)
        again = urlencode({name: "another" for name in parse_qs(urlsplit(address).query)})
        assert as_alice.get(f"{address}&{again}")["Location"] == "/"

    def test_by_the_api_the_caller_keeps_it(self, slug: str, as_alice: Client, brokers: SimulatedBrokers) -> None:
        start = send(as_alice, "post", INITIATE, {"broker_type": slug}).json()
        callback = dict(brokers.login(slug, start["authorization_url"]))
        answer = send(as_alice, "post", COMPLETE, {"state": start["state"], "callback": callback})
        assert answer.status_code == 200, answer.content


def test_other_brokers_must_bring_their_state_back(alice: User, as_alice: Client, brokers: SimulatedBrokers) -> None:
    """A session begun in this browser does not stand in for a state that is simply missing."""
    own_app(alice, "zerodha", brokers)
    start = send(as_alice, "post", INITIATE, {"broker_type": "zerodha"}).json()
    callback = dict(brokers.login("zerodha", start["authorization_url"]))
    del callback["state"]
    assert refused(as_alice, f"/brokers/callback/zerodha?{urlencode(callback)}") == "invalid_state"
