"""Two separate answers about a connection: can its account be read, and would an order pass?

Pure. Nothing is guessed: what could not be established is UNKNOWN, and a green light for data promises no order.
An order passes where the broker would take it, and its owner has turned trading on here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from brokers.domain import SEGMENT_OF, ConnectionStatus, Segment
from brokers.spec import BrokerSpec
from brokers.wire import IST


class Answer(StrEnum):
    YES = "YES"
    NO = "NO"
    UNKNOWN = "UNKNOWN"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """`code` is stable; `words` and `remedy` are whole sentences, for people."""

    code: str
    words: str
    remedy: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Light:
    """NO comes with what stops it, UNKNOWN with what could not be established, YES with nothing.

    What stops it here, `trading_off`, does not hide what stands in the way at the broker, and comes after it.
    """

    state: Answer
    reasons: tuple[Reason, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Clearance:
    """`trade` asks all that an order needs, in whatever segment; `sell_holdings` what the sale of owned shares needs.

    `segments` says of each segment that the broker offers whether it is enabled for this account, session or not.
    """

    data: Light
    trade: Light
    sell_holdings: Light
    segments: Mapping[Segment, Answer]


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionFacts:
    """What is known of a connection. `capabilities` are those stored for it; `registered_ip` is the trader's word."""

    status: ConnectionStatus
    has_session: bool = True
    session_ends_at: datetime | None = None
    renewal_due_at: datetime | None = None
    retry_after: datetime | None = None
    next_check_at: datetime | None = None
    error_message: str = ""
    capabilities: Mapping[str, Any] = field(default_factory=dict)
    registered_ip: str | None = None
    is_trading: bool = False


Finding = tuple[Answer, Reason]


def of(facts: ConnectionFacts, spec: BrokerSpec, *, egress_ip: str | None, now: datetime) -> Clearance:
    """Judge a connection. `egress_ip` is the one address from which this installation's orders would leave."""
    session = _session(facts, spec, now)
    segments = _segments(facts, spec)
    common = [*session, *_account(facts, spec), *_address(facts, spec, egress_ip)]
    return Clearance(
        data=_light(session),
        trade=_switched(_light([*common, *_some_segment(segments, facts, spec)]), facts, spec),
        sell_holdings=_switched(_light([*common, *_equity(segments, facts, spec), *_debit(facts, spec)]), facts, spec),
        segments=segments,
    )


def _light(findings: Iterable[Finding]) -> Light:
    """NO if anything stops it, else UNKNOWN if anything is, else YES."""
    found = list(findings)
    for state in (Answer.NO, Answer.UNKNOWN):
        reasons = tuple(reason for answer, reason in found if answer is state)
        if reasons:
            return Light(state=state, reasons=reasons)
    return Light(state=Answer.YES)


def of_address(facts: ConnectionFacts, spec: BrokerSpec, *, egress_ip: str | None) -> Light:
    """Whether orders would come from the registered address, whatever else stands in their way."""
    return _light(_address(facts, spec, egress_ip))


def _switched(at_broker: Light, facts: ConnectionFacts, spec: BrokerSpec) -> Light:
    """The broker's light, or NO where trading is off here."""
    if facts.is_trading:
        return at_broker
    off = Reason(
        code="trading_off",
        words=f"Trading is off: no order is placed at {spec.name} from here.",
        remedy="Turn it on at the account’s card, with a fresh proof that it is you.",
    )
    return Light(state=Answer.NO, reasons=(*at_broker.reasons, off))


def _no(code: str, words: str, remedy: str) -> list[Finding]:
    return [(Answer.NO, Reason(code=code, words=words, remedy=remedy))]


def _unknown(code: str, words: str, remedy: str) -> list[Finding]:
    return [(Answer.UNKNOWN, Reason(code=code, words=words, remedy=remedy))]


def _session(facts: ConnectionFacts, spec: BrokerSpec, now: datetime) -> list[Finding]:
    """What keeps the account from being read now."""
    status, name, log_in = facts.status, spec.name, f"Log in to {spec.name} again."
    again = f"Nothing to do: it is asked again by itself{_when(facts, now)}."
    if status is ConnectionStatus.DISCONNECTED:
        return _no("disconnected", "The account is disconnected.", log_in)
    if status is ConnectionStatus.TOKEN_EXPIRED or _has_passed(facts.session_ends_at, now):
        renews = status is ConnectionStatus.TOKEN_EXPIRED and facts.renewal_due_at is not None
        remedy = "Nothing to do: it is opened again by itself." if renews else log_in
        return _no("session_ended", f"The session at {name} has ended.", remedy)
    if not facts.has_session:
        return _no("session_missing", f"There is no session at {name}.", log_in)
    match status:
        case ConnectionStatus.SUSPENDED:
            return _no("suspended", _said(facts, f"{name} blocks this account or app."), f"Settle it with {name}.")
        case ConnectionStatus.MAINTENANCE:
            return _no("maintenance", f"{name} is closed for maintenance.", again)
        case ConnectionStatus.ERROR:
            words = _said(facts, f"The last call to {name} failed.")
            return _no("failing", words, f"{again} If it stays so, log in to {name} again.")
        case ConnectionStatus.RATE_LIMITED:
            return _no("rate_limited", f"{name} asked for fewer calls.", again)
        case ConnectionStatus.CONNECTED:
            if facts.retry_after is None or _has_passed(facts.retry_after, now):
                return []
            return _no("rate_limited", f"{name} asked for a pause.", again)


def _has_passed(at: datetime | None, now: datetime) -> bool:
    return at is not None and at <= now


def _said(facts: ConnectionFacts, otherwise: str) -> str:
    """Our own words of the last failure, as a sentence."""
    return f"{facts.error_message.rstrip('. ')}." if facts.error_message else otherwise


def _when(facts: ConnectionFacts, now: datetime) -> str:
    """When it is asked again, where that is known: not before the broker's pause is over, and a check is due."""
    coming = [time for time in (facts.retry_after, facts.next_check_at) if time is not None and time > now]
    if not coming:
        return ""
    at, today = max(coming).astimezone(IST), now.astimezone(IST).date()
    return f" at {at:%H:%M} IST" if at.date() == today else f" at {at:%H:%M} IST on {at.day} {at:%B}"


def _account(facts: ConnectionFacts, spec: BrokerSpec) -> list[Finding]:
    """An account was active when it logged in; only a later word of the broker's says otherwise."""
    if facts.capabilities.get("account_active") is not False:
        return []
    words = f"{spec.name} says that this account is not active."
    return _no("account_inactive", words, f"Settle it with {spec.name}.")


def _segments(facts: ConnectionFacts, spec: BrokerSpec) -> dict[Segment, Answer]:
    offered = {SEGMENT_OF[exchange] for exchange in spec.capabilities.exchanges}
    told = facts.capabilities.get("exchanges_told") is True
    enabled = facts.capabilities.get("segments", ())

    def answer(segment: Segment) -> Answer:
        if not told:
            return Answer.UNKNOWN
        return Answer.YES if segment in enabled else Answer.NO

    return {segment: answer(segment) for segment in Segment if segment in offered}


def _some_segment(segments: Mapping[Segment, Answer], facts: ConnectionFacts, spec: BrokerSpec) -> list[Finding]:
    answers = set(segments.values())
    if Answer.YES in answers:
        return []
    if Answer.UNKNOWN in answers:
        return _segments_unknown(facts, spec)
    words = f"{spec.name} has no segment enabled for this account."
    return _no("no_segment_enabled", words, f"Activate one with {spec.name}, then log in again.")


def _equity(segments: Mapping[Segment, Answer], facts: ConnectionFacts, spec: BrokerSpec) -> list[Finding]:
    match segments.get(Segment.EQUITY, Answer.NO):
        case Answer.YES:
            return []
        case Answer.UNKNOWN:
            return _segments_unknown(facts, spec)
        case Answer.NO:
            words = f"{spec.name} has no shares enabled for this account."
            remedy = f"Activate the equity segment with {spec.name}, then log in again."
            return _no("equity_not_enabled", words, remedy)


def _segments_unknown(facts: ConnectionFacts, spec: BrokerSpec) -> list[Finding]:
    if facts.capabilities.get("exchanges_told") is None:
        words = f"It was not asked yet which segments {spec.name} has enabled for this account."
        return _unknown("segments_unknown", words, f"Log in to {spec.name} again: it is asked then.")
    words = f"{spec.name} does not say which segments it has enabled for this account."
    return _unknown("segments_unknown", words, f"See them in {spec.name}’s own app.")


def _address(facts: ConnectionFacts, spec: BrokerSpec, egress_ip: str | None) -> list[Finding]:
    """Whether orders would come from the address that is registered for them."""
    rules, name, registered = spec.order_rules, spec.name, facts.registered_ip
    if not rules.needs_registered_ip or (registered is not None and registered == egress_ip):
        return []
    if registered is not None and egress_ip is not None:
        words = f"{registered} is registered at {name}, and orders from here would come from {egress_ip}."
        return _no("ip_not_registered", words, f"Register {egress_ip} instead. {rules.register_ip}")
    findings: list[Finding] = []
    if registered is None:
        words = f"{name} takes orders only from a registered IP address, and none is entered here."
        if egress_ip is not None:
            words += f" Orders from here would come from {egress_ip}."
        remedy = f"{rules.register_ip} Then enter here what is registered."
        findings += _unknown("registered_ip_unknown", words, remedy)
    if egress_ip is None:
        words = "It is not known from which IP address orders from here would come."
        remedy = "Ask the operator of this installation to set EGRESS_IP."
        findings += _unknown("egress_ip_unknown", words, remedy)
    return findings


def _debit(facts: ConnectionFacts, spec: BrokerSpec) -> list[Finding]:
    """Whether shares may leave the demat account; an authorisation for one day is not known here."""
    remedy = spec.order_rules.authorise_debit
    match facts.capabilities.get("debit_authorised"):
        case True:
            return []
        case False:
            words = f"{spec.name} has no DDPI or PoA: a sale needs an authorisation of the same day."
            return _no("debit_not_authorised", words, remedy)
        case _:
            words = f"{spec.name} does not say whether a DDPI or PoA lets shares be sold."
            return _unknown("debit_unknown", words, remedy)
