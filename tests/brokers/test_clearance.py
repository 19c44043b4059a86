"""The two answers about a connection: what each fact makes of them, and what never happens whatever the facts."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from brokers import clearance, registry
from brokers.clearance import Answer, Clearance, ConnectionFacts, Light
from brokers.domain import SEGMENT_OF, ConnectionStatus, Exchange, Segment
from brokers.services import capabilities_of
from brokers.spec import BrokerSpec
from brokers.wire import IST

NOW = datetime(2026, 11, 23, 10, 30, tzinfo=IST)
LATER, EARLIER = NOW + timedelta(hours=2), NOW - timedelta(seconds=1)
OURS, ANOTHER = "203.0.113.7", "198.51.100.9"
ZERODHA = registry.load("zerodha").spec
# A broker that takes orders from anywhere: none of ours does.
ANYWHERE = replace(ZERODHA, order_rules=replace(ZERODHA.order_rules, needs_registered_ip=False))
ALL_IS_WELL: dict[str, Any] = {
    "exchanges_told": True,
    "segments": ["EQUITY", "FNO"],
    "debit_authorised": True,
    "account_active": True,
}
YES, NO, UNKNOWN = Answer.YES, Answer.NO, Answer.UNKNOWN


def judged(
    spec: BrokerSpec = ZERODHA,
    *,
    status: ConnectionStatus = ConnectionStatus.CONNECTED,
    egress_ip: str | None = OURS,
    told: dict[str, Any] | None = None,
    **facts: Any,
) -> Clearance:
    """A connection to which nothing is missing, but for what is named."""
    known = {
        "is_trading": True,
        "registered_ip": OURS,
        "session_ends_at": LATER,
        "capabilities": ALL_IS_WELL | (told or {}),
    } | facts
    return clearance.of(ConnectionFacts(status=status, **known), spec, egress_ip=egress_ip, now=NOW)


def codes(light: Light) -> list[str]:
    return [reason.code for reason in light.reasons]


def test_where_nothing_is_missing_all_is_yes() -> None:
    cleared = judged()
    assert cleared.data == cleared.trade == cleared.sell_holdings == Light(state=YES)
    assert cleared.segments == {
        Segment.EQUITY: YES,
        Segment.FNO: YES,
        Segment.CURRENCY: NO,
        Segment.COMMODITY: NO,
    }


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (ConnectionStatus.DISCONNECTED, "disconnected"),
        (ConnectionStatus.TOKEN_EXPIRED, "session_ended"),
        (ConnectionStatus.RATE_LIMITED, "rate_limited"),
        (ConnectionStatus.MAINTENANCE, "maintenance"),
        (ConnectionStatus.ERROR, "failing"),
        (ConnectionStatus.SUSPENDED, "suspended"),
        (ConnectionStatus.CONNECTED, None),
    ],
)
def test_what_each_status_makes_of_both(status: ConnectionStatus, code: str | None) -> None:
    cleared = judged(status=status)
    wanted = [] if code is None else [code]
    assert codes(cleared.data) == codes(cleared.trade) == codes(cleared.sell_holdings) == wanted
    assert cleared.data.state is cleared.trade.state is (YES if code is None else NO)


def test_every_status_is_in_the_table_above() -> None:
    [mark] = [mark for mark in test_what_each_status_makes_of_both.pytestmark if mark.name == "parametrize"]
    assert {status for status, _ in mark.args[1]} == set(ConnectionStatus)


@pytest.mark.parametrize(
    ("facts", "code"),
    [
        ({"session_ends_at": NOW}, "session_ended"),
        ({"session_ends_at": EARLIER}, "session_ended"),
        ({"session_ends_at": None}, None),
        ({"has_session": False}, "session_missing"),
        ({"retry_after": LATER}, "rate_limited"),
        ({"retry_after": NOW}, None),
    ],
)
def test_a_connected_account_that_cannot_be_read_all_the_same(facts: dict[str, Any], code: str | None) -> None:
    assert codes(judged(**facts).data) == ([] if code is None else [code])


def test_an_ended_session_that_renews_itself_asks_for_no_login() -> None:
    ended = ConnectionStatus.TOKEN_EXPIRED
    assert "Log in" in judged(status=ended).data.reasons[0].remedy
    assert "by itself" in judged(status=ended, renewal_due_at=NOW).data.reasons[0].remedy


@pytest.mark.parametrize(
    ("retry_after", "next_check_at", "when"),
    [
        (None, None, "by itself."),
        (EARLIER, EARLIER, "by itself."),
        (None, NOW + timedelta(minutes=5), "at 10:35 IST."),
        (NOW + timedelta(minutes=20), NOW + timedelta(minutes=5), "at 10:50 IST."),
        (None, NOW + timedelta(hours=20), "at 06:30 IST on 24 November."),
    ],
)
def test_it_is_said_when_a_failing_broker_is_asked_again(
    retry_after: datetime | None, next_check_at: datetime | None, when: str
) -> None:
    light = judged(status=ConnectionStatus.MAINTENANCE, retry_after=retry_after, next_check_at=next_check_at).data
    assert light.reasons[0].remedy.endswith(when)


def test_a_failure_is_told_in_the_words_of_the_last_call() -> None:
    light = judged(status=ConnectionStatus.ERROR, error_message="The broker could not answer (HTTP 500)").data
    assert light.reasons[0].words == "The broker could not answer (HTTP 500)."


@pytest.mark.parametrize(
    ("registered_ip", "egress_ip", "state", "wanted"),
    [
        (OURS, OURS, YES, []),
        (ANOTHER, OURS, NO, ["ip_not_registered"]),
        (None, OURS, UNKNOWN, ["registered_ip_unknown"]),
        (OURS, None, UNKNOWN, ["egress_ip_unknown"]),
        (None, None, UNKNOWN, ["registered_ip_unknown", "egress_ip_unknown"]),
    ],
)
def test_the_address_of_orders(
    registered_ip: str | None, egress_ip: str | None, state: Answer, wanted: list[str]
) -> None:
    cleared = judged(registered_ip=registered_ip, egress_ip=egress_ip)
    assert (cleared.trade.state, codes(cleared.trade)) == (state, wanted)
    assert cleared.data.state is YES  # reads come from anywhere
    free = judged(ANYWHERE, registered_ip=registered_ip, egress_ip=egress_ip)
    assert free.trade.state is YES


def test_both_addresses_are_named_where_they_differ() -> None:
    [reason] = judged(registered_ip=ANOTHER).trade.reasons
    assert ANOTHER in reason.words
    assert OURS in reason.words
    assert OURS in reason.remedy


@pytest.mark.parametrize(
    ("told", "trade", "sells"),
    [
        ({"debit_authorised": False}, [], ["debit_not_authorised"]),
        ({"debit_authorised": None}, [], ["debit_unknown"]),
        ({"segments": ["FNO"]}, [], ["equity_not_enabled"]),
        ({"segments": []}, ["no_segment_enabled"], ["equity_not_enabled"]),
        ({"exchanges_told": False}, ["segments_unknown"], ["segments_unknown"]),
        ({"account_active": False}, ["account_inactive"], ["account_inactive"]),
    ],
)
def test_what_the_broker_tells_of_the_account(told: dict[str, Any], trade: list[str], sells: list[str]) -> None:
    cleared = judged(told=told)
    assert (codes(cleared.trade), codes(cleared.sell_holdings)) == (trade, sells)
    assert cleared.data.state is YES


def test_a_connection_older_than_these_facts_promises_nothing() -> None:
    cleared = judged(capabilities={"segments": ["EQUITY", "FNO"], "exchanges": ["NSE", "NFO"]})
    assert (cleared.data.state, cleared.trade.state, cleared.sell_holdings.state) == (YES, UNKNOWN, UNKNOWN)
    assert codes(cleared.sell_holdings) == ["segments_unknown", "debit_unknown"]
    assert set(cleared.segments.values()) == {UNKNOWN}
    assert "Log in" in cleared.trade.reasons[0].remedy
    silent = judged(told={"exchanges_told": False}).trade.reasons[0]
    assert "Log in" not in silent.remedy  # which would tell nothing new


def test_the_address_to_register_is_named_where_it_is_known() -> None:
    assert OURS in judged(registered_ip=None).trade.reasons[0].words


def test_what_stops_it_is_not_hidden_among_what_is_unknown() -> None:
    cleared = judged(told={"debit_authorised": None}, registered_ip=None, status=ConnectionStatus.SUSPENDED)
    assert codes(cleared.sell_holdings) == ["suspended"]


maybe_time = st.sampled_from([None, EARLIER, NOW, LATER])
maybe_address = st.sampled_from([None, OURS, ANOTHER])
maybe_told = st.sampled_from([True, False, None])
connections = st.builds(
    ConnectionFacts,
    status=st.sampled_from(ConnectionStatus),
    has_session=st.booleans(),
    session_ends_at=maybe_time,
    renewal_due_at=maybe_time,
    retry_after=maybe_time,
    next_check_at=maybe_time,
    error_message=st.sampled_from(["", "It failed."]),
    registered_ip=maybe_address,
    is_trading=st.booleans(),
    capabilities=st.fixed_dictionaries(
        {},
        optional={
            "exchanges_told": maybe_told,
            "debit_authorised": maybe_told,
            "account_active": maybe_told,
            "segments": st.lists(st.sampled_from([segment.value for segment in Segment]), unique=True),
        },
    ),
)
specs = st.sampled_from([*(broker.spec for broker in registry.brokers()), ANYWHERE])


@given(connections, specs, maybe_address)
def test_orders_are_never_promised_where_the_account_cannot_be_read(
    facts: ConnectionFacts, spec: BrokerSpec, egress_ip: str | None
) -> None:
    cleared = clearance.of(facts, spec, egress_ip=egress_ip, now=NOW)
    if cleared.trade.state is YES:
        assert cleared.data.state is YES
        assert facts.is_trading
        assert YES in cleared.segments.values()
        assert facts.registered_ip == egress_ip or not spec.order_rules.needs_registered_ip
    if cleared.sell_holdings.state is YES:
        assert cleared.trade.state is YES
        assert facts.capabilities["debit_authorised"] is True
    if cleared.data.state is NO:
        assert cleared.trade.state is cleared.sell_holdings.state is NO


@given(connections, specs, maybe_address)
def test_every_reason_has_words_and_a_remedy(facts: ConnectionFacts, spec: BrokerSpec, egress_ip: str | None) -> None:
    cleared = clearance.of(facts, spec, egress_ip=egress_ip, now=NOW)
    for light in (cleared.data, cleared.trade, cleared.sell_holdings):
        assert bool(light.reasons) is (light.state is not YES)
        assert len(set(codes(light))) == len(light.reasons)
        for reason in light.reasons:
            assert reason.code.replace("_", "").isalpha()
            assert reason.words.endswith(".")
            assert reason.remedy.endswith(".")


def test_where_trading_is_off_no_order_passes_and_the_broker_is_still_heard() -> None:
    off = judged(is_trading=False)
    assert (off.data.state, off.trade.state, off.sell_holdings.state) == (YES, NO, NO)
    assert codes(off.trade) == codes(off.sell_holdings) == ["trading_off"]
    unknown = judged(is_trading=False, registered_ip=None)
    assert (unknown.trade.state, codes(unknown.trade)) == (NO, ["registered_ip_unknown", "trading_off"])


@pytest.mark.parametrize("slug", registry.slugs())
def test_every_broker_says_what_an_order_needs(slug: str) -> None:
    broker = registry.load(slug)
    rules = broker.spec.order_rules
    assert rules.needs_registered_ip  # since 2026-04-01, by the regulator's rule
    for words in (rules.register_ip, rules.authorise_debit):
        assert words[0].isupper()
        assert words.endswith(".")
    segments = judged(broker.spec, told={"segments": capabilities_of(broker)["segments"]}).segments
    assert set(segments) == {SEGMENT_OF[exchange] for exchange in broker.spec.capabilities.exchanges}
    assert set(segments.values()) == {YES}
    assert SEGMENT_OF[Exchange.NSE] in segments
