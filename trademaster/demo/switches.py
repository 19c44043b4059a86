"""The switchboard: which switches of the simulated brokers are on, and turning one, over their control API."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import requests
from django.conf import settings

from accounts.models import User
from brokers import registry
from brokers.connecting import STATUSES
from brokers.domain import ConnectionStatus
from brokers.simulation.client import Control
from brokers.transport import is_loopback
from trademaster.demo.acts import ACTS, ANY, BY_CODE, FOUR, SOON_BACK, Act, Big
from trademaster.demo.gate import require_simulation

logger = logging.getLogger(__name__)

# They are on this machine. A broker that is killed or revived takes a moment to listen again.
TIMEOUT_SECONDS = 5.0
EVERY_BROKER = "Every broker"
NOT_CONNECTED = ("Not connected", "plain")


class SwitchRefused(Exception):
    """A switch was not turned, or cannot be read. In whole sentences: what happened, and what mends it."""

    def __init__(self, code: str, message: str, remedy: str) -> None:
        super().__init__(f"{message} {remedy}")
        self.code = code
        self.message = message
        self.remedy = remedy


@dataclass(frozen=True, slots=True, kw_only=True)
class Switch:
    """One button. `value` is what it sends."""

    act: Act
    broker: str
    broker_name: str
    is_on: bool

    @property
    def value(self) -> str:
        return f"{self.act.code}:{self.broker}:{'off' if self.is_on else 'on'}"

    @property
    def needs_login(self) -> bool:
        """It is on, and no button mends it."""
        return self.is_on and not self.act.fault

    @property
    def spoken(self) -> str:
        return f"{self.act.end if self.is_on else self.act.begin}: {self.broker_name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One broker: its switches in the order of ACTS, and how the trader's connection to it stands."""

    slug: str
    name: str
    switches: tuple[Switch, ...]
    word: str
    tone: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Large:
    """`watch`: what this trader will see of it."""

    big: Big
    switch: Switch
    watch: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Board:
    """`refused` says why nothing can be read; there are no rows then."""

    four: tuple[Large, ...] = ()
    rows: tuple[Row, ...] = ()
    refused: SwitchRefused | None = None

    @property
    def broken(self) -> tuple[Switch, ...]:
        """What is on, by broker; once, for all of them, what is on at every one."""
        everywhere = [act for act in ACTS if self.rows and all(_switch(row, act).is_on for row in self.rows)]
        alone = (switch for row in self.rows for switch in row.switches if switch.act not in everywhere)
        return tuple(_everywhere(act, is_on=True) for act in everywhere) + tuple(each for each in alone if each.is_on)

    @property
    def can_be_mended(self) -> bool:
        return any(switch.act.fault for switch in self.broken)


def board(user: User) -> Board:
    """The whole switchboard as it stands; one that cannot be read says so, and raises nothing but NotSimulated."""
    try:
        brokers: Mapping[str, Mapping[str, Any]] = _asked(lambda control: control.overview())["brokers"]
    except SwitchRefused as refused:
        return Board(refused=refused)
    stands = {row.broker_type: row.status for row in user.broker_connections.order_by("status_since", "pk")}
    rows = tuple(_row(slug, brokers[slug], stands.get(slug)) for slug in registry.slugs() if slug in brokers)
    return Board(rows=rows, four=tuple(_large(big, rows, _connected(user)) for big in FOUR))


def turn(user: User, value: str) -> str:
    """Turn the switch that a button's `value` names, and say what this trader sees of it, in sentences.

    Raises SwitchRefused, NotSimulated.
    """
    require_simulation()
    code, broker, way = [*value.split(":"), "", "", ""][:3]
    act = BY_CODE.get(code)
    is_known = act is not None and (broker in registry.slugs() or (broker == ANY and act.fault))
    if act is None or not is_known or way not in ("on", "off") or (way == "off" and not act.fault):
        raise SwitchRefused("unknown_switch", "There is no such switch: nothing was changed.", "Reload this page.")
    name = EVERY_BROKER if broker == ANY else registry.load(broker).spec.name
    logger.info("Simulated fault %s at %s: %s", act.code, broker, way)
    if way == "off":
        _asked(lambda control: _clear(control, act, broker))
        return f"{name} {act.over}. {_seen(act.after, broker, name, _connected(user))}".rstrip()
    _asked(lambda control: _begin(control, act, broker))
    return f"{name}: {act.sign}. {_seen(act.watch, broker, name, _connected(user))}"


def mend_everything() -> str:
    """Switch every fault off, everywhere, and say so. Raises SwitchRefused, NotSimulated."""
    require_simulation()
    _asked(lambda control: control.clear_faults_everywhere())
    return f"Every fault is switched off. A broker comes back by itself, {SOON_BACK}; an ended session by a login."


def _connected(user: User) -> frozenset[str]:
    """The brokers at which the trader has an account that they have not disconnected, by slug."""
    return frozenset(user.broker_connections.active().values_list("broker_type", flat=True))


def _seen(words: str, broker: str, name: str, connected: frozenset[str]) -> str:
    """`words` to whoever is connected there; nobody else sees anything of it."""
    if broker in connected or (broker == ANY and connected):
        return words
    where = "any broker" if broker == ANY else name
    return f"You are not connected to {where}: nothing of yours changes."


def _begin(control: Control, act: Act, broker: str) -> dict[str, Any]:
    if not act.fault:
        return {"revoked": control.revoke(broker)}
    if broker == ANY:
        return control.set_fault_everywhere(act.fault, **act.parameters)
    return control.set_fault(broker, act.fault, **act.parameters)


def _clear(control: Control, act: Act, broker: str) -> dict[str, Any]:
    if broker == ANY:
        return control.clear_faults_everywhere(act.fault)
    return control.clear_faults(broker, act.fault)


def _row(slug: str, told: Mapping[str, Any], status: str | None) -> Row:
    name = registry.load(slug).spec.name
    switches = tuple(Switch(act=act, broker=slug, broker_name=name, is_on=_is_on(act, told, status)) for act in ACTS)
    word, tone = NOT_CONNECTED if status is None else STATUSES[ConnectionStatus(status)]
    return Row(slug=slug, name=name, switches=switches, word=word, tone=tone)


def _is_on(act: Act, told: Mapping[str, Any], status: str | None) -> bool:
    if act.fault:
        return act.fault in told["faults"]
    # Whoever never logged in there has no session to end.
    return told["live_sessions"] == 0 and status not in (None, ConnectionStatus.DISCONNECTED)


def _large(big: Big, rows: tuple[Row, ...], connected: frozenset[str]) -> Large:
    if big.broker == ANY:
        switch = _everywhere(big.act, is_on=any(_switch(row, big.act).is_on for row in rows))
    else:
        switch = next(_switch(row, big.act) for row in rows if row.slug == big.broker)
    return Large(big=big, switch=switch, watch=_seen(big.watch, big.broker, switch.broker_name, connected))


def _switch(row: Row, act: Act) -> Switch:
    return next(switch for switch in row.switches if switch.act is act)


def _everywhere(act: Act, *, is_on: bool) -> Switch:
    return Switch(act=act, broker=ANY, broker_name=EVERY_BROKER, is_on=is_on)


def _asked(ask: Callable[[Control], dict[str, Any]]) -> dict[str, Any]:
    """Raises SwitchRefused, NotSimulated."""
    require_simulation()
    url = settings.SANDBOX_CONTROL_URL
    if not is_loopback(urlsplit(url).hostname or ""):
        raise SwitchRefused(
            "switchboard_unknown",
            "It is not known here where the simulated brokers are broken: nothing was changed, no account is touched.",
            "Start everything with `make demo`, or set SANDBOX_CONTROL_URL to their control address on this machine.",
        )
    try:
        answer: dict[str, Any] = ask(Control(url, timeout=TIMEOUT_SECONDS))
    except requests.RequestException as error:
        logger.warning("The simulated brokers' control API failed: %s", type(error).__name__)
        raise SwitchRefused(
            "switchboard_silent",
            "The simulated brokers’ control does not answer: what is broken is not known. No account is touched.",
            "Look at the terminal of `make demo`, start it again if it ended, and reload this page.",
        ) from None
    return answer
