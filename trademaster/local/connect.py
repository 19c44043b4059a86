"""Connect the demo trader's accounts as a person with a browser would: over HTTP, through the brokers' login pages."""

from collections.abc import Callable, Collection, Mapping
from datetime import UTC, datetime
from urllib.parse import parse_qs, urljoin, urlsplit

import requests

from trademaster.local.environment import SimulatedBroker
from trademaster.local.failure import ServiceFailed
from trademaster.local.run_directory import Login

TIMEOUT = (3.05, 15)
MOST_REDIRECTS = 6


class ConnectFailed(Exception):
    """One broker could not be connected. The message names the step and the status, never a body or a query."""


class Trader:
    """A signed-in browser session with our own web server."""

    def __init__(self, web: str) -> None:
        self.web = web
        self.http = requests.Session()
        self.http.trust_env = False  # a proxy of the environment has no business with the loopback

    def log_in(self, login: Login) -> None:
        """Raises ServiceFailed."""
        page = f"{self.web}/login"
        try:
            self.http.get(page, timeout=TIMEOUT).raise_for_status()
            answer = self.http.post(
                page,
                data={**sign_in_fields(login), "csrfmiddlewaretoken": self._csrf()},
                headers={"Referer": page},
                timeout=TIMEOUT,
                allow_redirects=False,
            )
        except requests.RequestException as error:
            raise ServiceFailed(f"The demo trader cannot sign in: {_reason(error)}.") from error
        if not answer.is_redirect:
            raise ServiceFailed(f"The demo trader cannot sign in: {page} answered {answer.status_code}.")

    def _csrf(self) -> str:
        return self.http.cookies.get("csrftoken") or ""

    def statuses(self) -> dict[str, str]:
        """Status by broker slug; a session past its known end counts as none. Raises ConnectFailed."""
        rows = self._call("GET", "/api/v1/brokers/connections")
        now = datetime.now(UTC)
        return {
            row["broker_type"]: row["status"]
            for row in (rows if isinstance(rows, list) else [])
            if not row["token_expires_at"] or datetime.fromisoformat(row["token_expires_at"]) > now
        }

    def connect(self, slug: str, broker: SimulatedBroker) -> None:
        """Register the API key, ask for consent, log in at the broker, and let the callback finish.

        Raises ConnectFailed.
        """
        self.store_keys(slug, broker)
        initiated = self._call(
            "POST",
            "/api/v1/brokers/connect/initiate",
            {"broker_type": slug, "redirect_uri": broker["redirect_uri"]},
        )
        if not isinstance(initiated, dict):
            raise ConnectFailed("connect/initiate answered something else than an object")
        address = initiated["authorization_url"]
        try:
            if address.startswith(self.web + "/"):
                answer = self._fill_in(address, self._form(slug, broker["login"]))
            else:
                answer = self.http.get(log_in_at_broker(address, broker), timeout=TIMEOUT)
        except requests.RequestException as error:
            raise ConnectFailed(f"the login failed: {_reason(error)}") from error
        refused = parse_qs(urlsplit(answer.url).query).get("refused")
        if refused or not answer.ok:
            raise ConnectFailed(f"the login was refused: {refused[0] if refused else answer.status_code}")

    def store_keys(self, slug: str, broker: SimulatedBroker) -> None:
        """Register the API key. Raises ConnectFailed."""
        self._call("PUT", f"/api/v1/brokers/apps/{slug}", app_keys(broker))

    def _form(self, slug: str, known: Mapping[str, str]) -> dict[str, str]:
        """What to type into our own form: the first of the broker's logins for which everything is known."""
        brokers = self._call("GET", "/api/v1/brokers")
        methods = (
            [row["login_methods"] for row in brokers if row["broker_type"] == slug] if isinstance(brokers, list) else []
        )
        for method in methods[0] if methods else []:
            names = [field["name"] for field in method["fields"]]
            if all(name in known for name in names):
                return {"method": method["name"], **{name: known[name] for name in names}}
        raise ConnectFailed("no login of ours can be filled in with what the simulation knows")

    def _fill_in(self, page: str, fields: Mapping[str, str]) -> requests.Response:
        """Our own login form, for brokers without a redirect."""
        form = {**fields, "csrfmiddlewaretoken": self._csrf()}
        return self.http.post(page, data=form, headers={"Referer": page}, timeout=TIMEOUT)

    def _call(self, method: str, path: str, body: Mapping[str, str] | None = None) -> object:
        try:
            answer = self.http.request(
                method,
                self.web + path,
                json=body,
                headers={"X-CSRFToken": self._csrf(), "Referer": self.web},
                timeout=TIMEOUT,
                allow_redirects=False,
            )
            answer.raise_for_status()
            result: object = answer.json() if answer.content else None
        except requests.RequestException as error:
            raise ConnectFailed(f"{method} {path} failed: {_reason(error)}") from error
        return result


def sign_in_fields(login: Login) -> dict[str, str]:
    """What the sign-in page's form is filled with."""
    return {"login": login["username"], "password": login["password"]}


def app_keys(broker: SimulatedBroker) -> dict[str, str]:
    """The keys of the trader's app at a broker, further pairs (`market_api_key`, …) included."""
    return {name: str(value) for name, value in broker.items() if name.endswith(("api_key", "api_secret")) and value}


def log_in_at_broker(authorization_url: str, broker: SimulatedBroker) -> str:
    """Fill the broker's login form in and return where the broker sends the browser: our callback with its parameters.

    Raises ConnectFailed.
    """
    with requests.Session() as browser:
        browser.trust_env = False
        try:
            answer = browser.post(authorization_url, data=broker["login"], timeout=TIMEOUT, allow_redirects=False)
            for _ in range(MOST_REDIRECTS):
                if not answer.is_redirect:
                    break
                target = urljoin(answer.url, answer.headers["Location"])
                if same_page(target, broker["redirect_uri"]):
                    return target
                answer = browser.get(target, timeout=TIMEOUT, allow_redirects=False)
        except requests.RequestException as error:
            raise ConnectFailed(f"the broker's login page failed: {_reason(error)}") from error
    raise ConnectFailed(f"the broker's login page answered {answer.status_code} and led nowhere")


def same_page(url: str, other: str) -> bool:
    """Equal but for the query."""
    return urlsplit(url)[:3] == urlsplit(other)[:3]


def connect_all(
    web: str,
    login: Login,
    brokers: Mapping[str, SimulatedBroker],
    report: Callable[[str], None],
    *,
    by_hand: Collection[str] = (),
) -> list[str]:
    """Connect what is not connected yet and return the slugs that failed, one reported line each.

    Of those `by_hand` only the keys are stored.

    Raises ServiceFailed when the trader cannot even sign in.
    """
    trader = Trader(web)
    trader.log_in(login)
    try:
        statuses = trader.statuses()
    except ConnectFailed as failure:
        report(str(failure))
        statuses = {}
    failed = []
    for slug, broker in brokers.items():
        if statuses.get(slug) == "CONNECTED":
            continue
        try:
            if slug in by_hand:
                trader.store_keys(slug, broker)
            else:
                trader.connect(slug, broker)
        except ConnectFailed as failure:
            report(f"{slug} is not connected: {failure}.")
            failed.append(slug)
    return failed


def _reason(error: requests.RequestException) -> str:
    """Its kind, and the status if there is one: the text of a vendor's exception may quote a URL with secrets."""
    status = "" if error.response is None else f" {error.response.status_code}"
    return type(error).__name__ + status
