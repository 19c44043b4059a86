"""The pages as the server sends them: who may see them, and what must, and must not, stand in the HTML."""

from html.parser import HTMLParser

import pytest
from django.contrib.staticfiles import finders
from django.test import Client, RequestFactory
from django.urls import reverse

from accounts.models import Role, User
from brokers import registry
from brokers.models import BrokerApp
from brokers.secret import Secret
from tests.conftest import let_in
from tests.conftest import signed_in as desk
from trademaster import pages

pytestmark = pytest.mark.django_db

PASSWORD = "a long enough password"
PAGES = ("dashboard", "logins", "connect", "brokers-health", "risk")
BY_FORM = next(broker.spec for broker in registry.brokers() if broker.spec.login_methods)
FORM = f"/brokers/login/{BY_FORM.slug}"
OF_BROKERS = (
    "/brokers/health/",
    *(f"{way}{slug}{end}" for slug in registry.slugs() for way, end in (("/connect/", ""), ("/brokers/health/", "/"))),
)


class Page(HTMLParser):
    """Collects what a strict content security policy would refuse, and what the page loads."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.inline: list[str] = []
        self.loaded: list[str] = []
        self.ids: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        values = dict(attributes)
        self.tags.append((tag, values))
        if tag == "style" or (tag == "script" and "src" not in values):
            self.inline.append(tag)
        self.inline += [name for name in values if name == "style" or name.startswith("on")]
        if address := values.get("src") or (values.get("href") if tag == "link" else None):
            self.loaded.append(address)
        if identity := values.get("id"):
            self.ids.append(identity)


@pytest.fixture
def alice() -> User:
    return User.objects.create_user("alice", password=PASSWORD)


@pytest.fixture
def signed_in(client: Client, alice: User) -> Client:
    client.force_login(alice)
    return client


@pytest.mark.parametrize("name", PAGES)
def test_a_page_asks_for_a_login(client, name):
    response = client.get(reverse(name))

    assert response.status_code == 302
    assert response.url == f"{reverse('login')}?next={reverse(name)}"


@pytest.mark.parametrize("name", PAGES)
def test_support_is_sent_to_its_own_desk(client, name):
    client.force_login(User.objects.create_user("sam", role=Role.SUPPORT, is_staff=True))

    assert client.get(reverse(name)).url == reverse("admin:index")


@pytest.mark.parametrize("address", ["/", "/risk/", "/logins", "/connect", "/login", FORM, *OF_BROKERS])
def test_every_page_is_fit_for_a_strict_content_policy(signed_in, address):
    page = Page((Client() if address == "/login" else signed_in).get(address).content.decode())

    assert page.inline == []
    assert page.loaded
    page.loaded.remove("/manifest.webmanifest")  # a page of ours, held by tests/pages/test_frame.py
    assert [address for address in page.loaded if not address.startswith("/static/")] == []
    assert [address for address in page.loaded if finders.find(address.removeprefix("/static/")) is None] == []
    assert len(page.ids) == len(set(page.ids))


@pytest.mark.parametrize("address", ["/", "/logins", "/connect", "/login", "/no-such-page", "/admin/"])
@pytest.mark.parametrize("simulated", [True, False])
def test_the_banner_says_simulated_where_and_only_where_it_is(signed_in, settings, address, simulated):
    settings.SIMULATED_BROKERS = simulated
    browser = Client() if address == "/login" else signed_in
    if address == "/admin/":
        browser = desk(User.objects.create_user("sam", role=Role.SUPPORT, is_staff=True))

    assert ("<strong>SIMULATED</strong>" in browser.get(address).content.decode()) is simulated


def test_the_page_of_a_failure_needs_neither_session_nor_database(settings, django_assert_num_queries):
    settings.SIMULATED_BROKERS = True
    with django_assert_num_queries(0):
        response = pages.server_error(RequestFactory().get("/"))

    assert response.status_code == 500
    assert b"SIMULATED" in response.content
    assert Page(response.content.decode()).inline == []


def test_a_login_ends_at_the_page_that_was_asked_for(client, alice):
    form = {"login": "alice", "password": PASSWORD, "next": "/connect"}

    assert client.post(reverse("login"), form).url == "/connect"


def test_a_wrong_password_is_told_without_telling_which_part_is_wrong(client, alice):
    html = client.post(reverse("login"), {"login": "alice", "password": "wrong"}).content.decode()

    assert "The name or the password is not right." in html
    assert 'value="alice"' in html
    assert 'value="wrong"' not in html


def test_signing_out_needs_a_post_with_a_token(alice):
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(alice)

    assert browser.get(reverse("logout")).status_code == 405
    assert browser.post(reverse("logout")).status_code == 403
    assert "_auth_user_id" in browser.session


def test_the_connect_page_never_shows_a_stored_key_or_secret(signed_in, alice):
    BrokerApp.objects.create(
        user=alice,
        broker_type="zerodha",
        api_key_encrypted=Secret("the-key-of-alice"),
        api_secret_encrypted=Secret("the-secret-of-alice"),
    )
    address = reverse("connect-broker", args=["zerodha"])
    before = signed_in.get(address).content.decode()
    let_in(signed_in, alice)
    html = before + signed_in.get(address).content.decode()

    assert "Show that it is you" in before
    assert "Replace the keys" in html
    assert "the-key-of-alice" not in html
    assert "the-secret-of-alice" not in html


def test_a_login_by_form_asks_for_what_its_methods_name_and_keeps_no_secret_in_sight(signed_in):
    html = signed_in.get(FORM, {"state": "x"}).content.decode().partition("<main")[2]
    inputs = [fields for tag, fields in Page(html).tags if tag == "input" and fields.get("autocomplete") == "off"]

    assert inputs == [
        {
            "name": field.name,
            "type": "password" if field.secret else "text",
            "autocomplete": "off",
            "autocapitalize": "none",
            "spellcheck": "false",
            **({"required": None} if field.required else {}),
        }
        for method in BY_FORM.login_methods
        for field in method.fields
    ]
    assert html.count('<form class="fields" method="post"') == len(BY_FORM.login_methods)


def test_the_desk_of_support_bears_its_name(db):
    client = desk(User.objects.create_user("sam", role=Role.SUPPORT, is_staff=True))
    assert "TradeMaster support" in client.get("/admin/").content.decode()


def test_a_message_is_shown_once_as_text(signed_in):
    refused = signed_in.get("/brokers/callback/zerodha", {"state": "<script>", "error": "<b>no</b>"})
    html = signed_in.get(refused.url).content.decode()

    assert 'class="notice bad"' in html
    assert "<b>no</b>" not in html
    assert 'class="messages"' not in signed_in.get(reverse("connect")).content.decode()


@pytest.mark.parametrize(("name", "most"), [("dashboard", 7), ("logins", 12), ("connect", 11)])
def test_a_page_costs_few_queries(signed_in, django_assert_max_num_queries, name, most):
    """Three for its session and one look at what stops trading, which the first of all latches; then its own rows."""
    signed_in.get(reverse(name))
    with django_assert_max_num_queries(most):
        signed_in.get(reverse(name))


def test_a_form_without_its_token_is_refused_in_our_own_words(alice):
    browser = Client(enforce_csrf_checks=True)
    response = browser.post(reverse("login"), {"username": "alice", "password": PASSWORD})

    assert response.status_code == 403
    assert "This form is out of date" in response.content.decode()
