"""All simulated brokers in one process: one event loop, one port per broker, the control API beside them."""

from __future__ import annotations

import asyncio
import errno
import importlib
import logging
import threading
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self
from urllib.parse import parse_qsl, urlsplit

import msgspec
import requests
from aiohttp import web

from brokers.registry import PACKAGES, order_of
from brokers.simulation.book import Book, demo_book
from brokers.simulation.control import Control, control_application
from brokers.simulation.dialect import Clock, Sandbox
from brokers.simulation.exchange import Exchange
from brokers.simulation.instruments import load_instruments
from brokers.simulation.market import SECONDS_PER_TICK, Market
from brokers.simulation.masters import DEMO, FULL
from brokers.simulation.site import HOST, Site
from brokers.simulation.state import BrokerState, State, StateFile

logger = logging.getLogger(__name__)

DEFAULT_BASE_PORT = 9100
DEFAULT_REDIRECT_BASE = "http://127.0.0.1:8000"
TICKS_PER_SAVE = 10
PULSES_PER_TICK = 10
LOGIN_TIMEOUT = 10.0
START_TIMEOUT = 20.0
# What loading a package raises while somebody is still writing it; the last two: its book.json.
HALF_WRITTEN = (
    *(ImportError, SyntaxError, NameError, AttributeError, TypeError, LookupError, ValueError),
    *(OSError, msgspec.DecodeError),
)


class SimulationError(Exception):
    """The simulation cannot start; the text is one line for the person who started it."""


def port_of(slug: str, base_port: int) -> int:
    """The broker's port: its place in the registry after the base port, where the control API listens."""
    return base_port + 1 + order_of(slug)


def mqtt_port_of(slug: str, base_port: int) -> int:
    """Where its MQTT is spoken, if it speaks any: after the ports of all brokers, in the same order."""
    return port_of(slug, base_port) + len(PACKAGES)


def available_slugs() -> list[str]:
    """List the brokers that can be simulated, in port order; each one that cannot is named in a line of the log."""
    found = []
    for slug in PACKAGES:
        try:
            load_sandbox(slug)
            load_book(slug)
        except SimulationError as error:
            logger.warning("sandbox: %s", error)
        else:
            found.append(slug)
    return found


def load_sandbox(slug: str) -> type[Sandbox]:
    """Import SANDBOX from the `sandbox` module of a broker's package. Raises SimulationError."""
    if slug not in PACKAGES:
        raise SimulationError(f"no simulated broker {slug!r}; there are {', '.join(available_slugs())}")
    try:
        sandbox: type[Sandbox] = importlib.import_module(f"{PACKAGES[slug]}.sandbox").SANDBOX
        missing = sorted(sandbox.__abstractmethods__)
        spoken = sandbox.slug
    except HALF_WRITTEN as error:
        raise _left_out(slug, error) from error
    if missing:
        raise SimulationError(f"{slug} is left out: its sandbox has no {', '.join(missing)}")
    if spoken != slug:
        raise SimulationError(f"{slug} is left out: its sandbox calls itself {spoken!r}")
    return sandbox


def load_book(slug: str) -> Book:
    """Read the demo account of a registered broker. Raises SimulationError."""
    try:
        return demo_book(PACKAGES[slug])
    except HALF_WRITTEN as error:
        raise _left_out(slug, error) from error


def _left_out(slug: str, error: Exception) -> SimulationError:
    return SimulationError(f"{slug} is left out: {type(error).__name__}: {error}")


def utc_now() -> datetime:
    return datetime.now(UTC)


class Simulation:
    """The market, the brokers and their listeners. Lives in one event loop."""

    def __init__(
        self,
        slugs: Iterable[str],
        *,
        base_port: int = DEFAULT_BASE_PORT,
        frozen: bool = False,
        redirect_base: str = DEFAULT_REDIRECT_BASE,
        state_dir: Path | None = None,
        clock: Clock = utc_now,
        full_masters: bool = False,
    ) -> None:
        self.base_port = base_port
        self.masters = FULL if full_masters else DEMO
        self.redirect_base = redirect_base
        self.market = Market(load_instruments(), frozen=frozen)
        self.exchange = Exchange(self.market, now=clock)
        self._file = StateFile(state_dir)
        self._remembered = self._load()
        self.market.restore(self._remembered.prices)
        self.exchange.trades.extend(self._remembered.trades)
        self.sites: dict[str, Site] = {}
        for slug in slugs:
            known = self._remembered.brokers.get(slug)
            sandbox = self._sandbox(load_sandbox(slug), known, clock)
            port, mqtt_port = (port_of(slug, base_port), mqtt_port_of(slug, base_port)) if base_port else (0, 0)
            self.sites[slug] = Site(sandbox, port=port, mqtt_port=mqtt_port, changed=self.save, dealt=self.dealt)
        self._has_dealt = False
        self._control: web.AppRunner | None = None

    def _load(self) -> State:
        try:
            return self._file.load()
        except msgspec.DecodeError as error:
            raise SimulationError(f"{self._file.directory}/state.json is damaged ({error}); delete it") from error

    def _sandbox(self, dialect: type[Sandbox], known: BrokerState | None, clock: Clock) -> Sandbox:
        redirect_uri = f"{self.redirect_base}/brokers/callback/{dialect.slug}"
        if known is None:
            known = BrokerState(app=dialect.new_app(redirect_uri), login_values={}, book=load_book(dialect.slug))
        known.app.redirect_uri = redirect_uri
        for field in dialect.login_fields:
            known.login_values.setdefault(field.name, field.right_value(known.book.account))
        sandbox = dialect(
            app=known.app,
            login_values=known.login_values,
            book=known.book,
            market=self.market,
            sessions=known.sessions,
            clock=clock,
            masters=self.masters,
            exchange=self.exchange,
        )
        sandbox.desk.restore(known.desk)
        return sandbox

    @property
    def control_url(self) -> str:
        return f"http://{HOST}:{self.base_port}"

    def describe(self) -> dict[str, Any]:
        """Return what brokers.json holds: addresses, app credentials and the right login of every broker."""
        return {
            "control_url": self.control_url,
            "brokers": {slug: self._description(site) for slug, site in self.sites.items()},
        }

    def _description(self, site: Site) -> dict[str, Any]:
        sandbox = site.sandbox
        return {
            "base_url": site.url,
            "login_url": site.url + sandbox.login_path,
            "master_url": site.url,
            "stream_url": site.stream_url,
            "api_key": sandbox.app.api_key,
            "api_secret": sandbox.app.api_secret,
            **sandbox.app.extra,
            "redirect_uri": sandbox.app.redirect_uri,
            "login": dict(sandbox.login_values),
        }

    def priced_book(self, slug: str) -> dict[str, Any]:
        """Return a book as plain JSON values, each row with its name, ISIN, `last_price` and `close_price`."""
        book = self.sites[slug].sandbox.book
        plain: dict[str, Any] = msgspec.to_builtins(book)
        for key, row in zip(book.keys, [*plain["holdings"], *plain["positions"]], strict=True):
            price = self.market.price(key)
            row["name"] = self.market.instruments[key].name
            row["isin"] = self.market.instruments[key].isin
            row["last_price"] = str(price.last) if price else None
            row["close_price"] = str(price.close) if price else None
        return plain

    def save(self) -> None:
        """Write sessions, codes, books, orders and prices to the state file. Faults are not kept."""
        self._has_dealt = False
        if self._file.directory is None:
            return
        brokers = {
            slug: BrokerState(
                app=site.sandbox.app,
                login_values=site.sandbox.login_values,
                book=site.sandbox.book,
                sessions=site.sandbox.sessions,
                desk=site.sandbox.desk.state(),
            )
            for slug, site in self.sites.items()
        }
        # A broker left out by --only keeps what it had.
        brokers = {**self._remembered.brokers, **brokers}
        self._file.save(State(brokers=brokers, prices=self.market.snapshot(), trades=self.exchange.trades))

    async def start(self) -> None:
        """Open every port and write brokers.json. Raises SimulationError when a port is in use."""
        self._control = web.AppRunner(control_application(self), access_log=None, shutdown_timeout=1)
        await self._control.setup()
        await self._listen("the control API", self.base_port, web.TCPSite(self._control, HOST, self.base_port).start)
        self.base_port = self._control.addresses[0][1]
        for slug, site in self.sites.items():
            await self._listen(slug, site.port, site.open)
            if site.mqtt is not None:
                await self._listen(f"{slug}, MQTT", site.mqtt.port, site.open_mqtt)
        self.save()
        self._file.publish(self.describe())

    async def _listen(self, what: str, port: int, listen: Callable[[], Any]) -> None:
        try:
            await listen()
        except OSError as error:
            await self.stop()
            reason = "is in use" if error.errno == errno.EADDRINUSE else f"cannot be opened: {error.strerror}"
            raise SimulationError(f"port {port} ({what}) {reason}") from error

    async def run_until(self, stopping: asyncio.Event) -> None:
        """Move prices every half second, and orders more often, until told to stop; then close every port."""
        pulses = 0
        try:
            while not stopping.is_set():
                try:
                    await asyncio.wait_for(stopping.wait(), SECONDS_PER_TICK / PULSES_PER_TICK)
                except TimeoutError:
                    pulses += 1
                    ticks, odd = divmod(pulses, PULSES_PER_TICK)
                    if not odd:
                        self.tick()
                    self.pulse()
                    if not odd and (self._has_dealt or ticks % TICKS_PER_SAVE == 0):
                        self.save()
        finally:
            await self.stop()
            self.save()

    def tick(self) -> None:
        """Move the prices, unless they are frozen, and what stands at the exchange with them."""
        if not self.market.frozen:
            self.market.tick()
            self.exchange.prices_moved()
        self.tell_prices()

    def pulse(self) -> None:
        """Do what has become due at the desks, and tell of it."""
        for site in self.sites.values():
            site.sandbox.desk.pulse()
        self.tell_orders()

    def dealt(self) -> None:
        """Hear that a desk took, changed or cancelled an order. It is saved with the next tick."""
        self._has_dealt = True
        self.tell_orders()

    def tell_orders(self) -> None:
        """Tell every stream and address what became of orders, at all brokers: one order can fill another's."""
        for site in self.sites.values():
            site.tell_orders()

    def reset_exchange(self) -> None:
        """Forget every order, trade and GTT of every desk. What they did to the books stays done."""
        for site in self.sites.values():
            site.sandbox.desk.reset()
        self.exchange.reset()
        self.save()

    def tell_prices(self) -> None:
        """Tell every stream what changed in the market, by its own walk or by the control API."""
        for site in self.sites.values():
            site.tell_prices()

    async def stop(self) -> None:
        for site in self.sites.values():
            await site.close()
        if self._control is not None:
            await self._control.cleanup()


class Callback(dict[str, str]):
    """The query parameters with which a broker sent the browser back; `location` is the whole address."""

    def __init__(self, location: str) -> None:
        super().__init__(parse_qsl(urlsplit(location).query, keep_blank_values=True))
        self.location = location


class SimulatedBrokers:
    """Simulated brokers inside this process, for tests: a context manager that runs them in a thread.

        with SimulatedBrokers(["zerodha", "upstox"]) as simulated:
            simulated.brokers["zerodha"]["base_url"]
            simulated.control.set_fault("zerodha", "rate_limit", count=1)
            callback = simulated.login("zerodha", authorization_url)

    `base_port` 0 takes free ports. Prices stand still unless `frozen` is False. `clock` moves token deaths.
    """

    def __init__(
        self,
        slugs: Iterable[str] | None = None,
        *,
        base_port: int = 0,
        frozen: bool = True,
        redirect_base: str = DEFAULT_REDIRECT_BASE,
        state_dir: Path | None = None,
        clock: Clock = utc_now,
    ) -> None:
        self._simulation = Simulation(
            available_slugs() if slugs is None else slugs,
            base_port=base_port,
            frozen=frozen,
            redirect_base=redirect_base,
            state_dir=state_dir,
            clock=clock,
        )
        self._thread = threading.Thread(target=self._run, name="simulated-brokers", daemon=True)
        self._started = threading.Event()
        self._failure: SimulationError | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping: asyncio.Event | None = None

    def __enter__(self) -> Self:
        self._thread.start()
        if not self._started.wait(START_TIMEOUT):
            raise SimulationError("the simulated brokers did not start in time")
        if self._failure is not None:
            raise self._failure
        description = self._simulation.describe()
        self.control_url: str = description["control_url"]
        self.brokers: dict[str, dict[str, Any]] = description["brokers"]
        self.control = Control(self.control_url)
        return self

    def __exit__(self, *exc_info: object) -> None:
        if self._loop is not None and self._stopping is not None:
            self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join()

    def _run(self) -> None:
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        try:
            await self._simulation.start()
        except SimulationError as error:
            self._failure = error
            self._started.set()
            return
        self._loop = asyncio.get_running_loop()
        self._stopping = asyncio.Event()
        self._started.set()
        await self._simulation.run_until(self._stopping)

    def login(self, slug: str, authorization_url: str, **changed: str) -> Callback:
        """Log the demo customer in over HTTP and return where the broker sends the browser.

        `changed` replaces login fields (`password="wrong"`), or cancels (`cancel="1"`).
        Raises LookupError when the broker shows its page again instead of going back.
        """
        form = {**self.brokers[slug]["login"], **changed}
        reply = requests.post(authorization_url, data=form, allow_redirects=False, timeout=LOGIN_TIMEOUT)
        if "Location" not in reply.headers:
            raise LookupError(f"{slug} refused the login with HTTP {reply.status_code}")
        return Callback(reply.headers["Location"])
