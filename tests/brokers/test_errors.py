"""Every error answers three questions: may I retry, who must act, what does this make of the connection."""

from __future__ import annotations

import inspect
from datetime import UTC, datetime

import pytest

from brokers import errors
from brokers.domain import ConnectionStatus
from brokers.errors import (
    BrokerError,
    BrokerUnavailable,
    BudgetSpent,
    CircuitOpen,
    FeedEnded,
    NotSupported,
    OrderRejected,
    OutcomeUnknown,
    RateLimited,
    RequestRefused,
    SessionEnded,
    UnexpectedResponse,
    Verdict,
)

S = ConnectionStatus
WITH_TIMES = {BudgetSpent: {"retry_after": 1.5}, CircuitOpen: {"retry_at": datetime(2026, 11, 24, tzinfo=UTC)}}
KINDS = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, BrokerError)]


@pytest.mark.parametrize(
    ("kind", "code", "retryable", "status"),
    [
        (BrokerUnavailable, "broker_unavailable", True, S.ERROR),
        (RateLimited, "broker_rate_limited", True, S.RATE_LIMITED),
        (BudgetSpent, "rate_budget_spent", True, None),
        (CircuitOpen, "circuit_open", True, S.ERROR),
        (FeedEnded, "feed_session_ended", True, None),
        (OutcomeUnknown, "outcome_unknown", False, S.ERROR),
        (SessionEnded, "session_ended", False, S.TOKEN_EXPIRED),
        (RequestRefused, "request_refused", False, None),
        (OrderRejected, "order_rejected", False, None),
        (NotSupported, "not_supported", False, None),
    ],
)
def test_what_each_kind_means(
    kind: type[BrokerError], code: str, retryable: bool, status: ConnectionStatus | None
) -> None:
    error = kind("Words of ours.", **WITH_TIMES.get(kind, {}))
    assert (error.code, error.retryable, error.connection_status) == (code, retryable, status)
    assert (str(error), error.message, error.reason, error.vendor_code) == ("Words of ours.",) * 2 + (None, None)


def test_an_unexpected_reply_names_the_field() -> None:
    error = UnexpectedResponse("average_price", "is negative", vendor_code="X1")
    assert (error.field, error.vendor_code, error.connection_status) == ("average_price", "X1", S.ERROR)
    assert str(error) == "The broker's reply cannot be read: `average_price` is negative."


def test_the_tree() -> None:
    assert issubclass(RateLimited, BrokerUnavailable)
    assert issubclass(BudgetSpent, RateLimited)
    assert issubclass(CircuitOpen, BrokerUnavailable)
    assert not issubclass(CircuitOpen, RateLimited)
    assert issubclass(OrderRejected, RequestRefused)
    assert len({kind.default_code for kind in KINDS}) == len(KINDS)
    assert [kind for kind in KINDS if not kind.default_action] == []


def test_only_what_changed_nothing_may_be_retried() -> None:
    assert {kind for kind in KINDS if kind.retryable} == {
        BrokerUnavailable,
        RateLimited,
        BudgetSpent,
        CircuitOpen,
        FeedEnded,
    }


def test_the_brokers_own_words_are_not_in_the_message() -> None:
    error = RequestRefused("Refused.", reason="Dear AB1234, no.", vendor_code="InputException")
    assert "AB1234" not in f"{error} {error!r}"


@pytest.mark.parametrize(
    ("name", "status"),
    [
        ("TOKEN_EXPIRED", S.TOKEN_EXPIRED),
        ("RATE_LIMITED", S.RATE_LIMITED),
        ("MAINTENANCE", S.MAINTENANCE),
        ("UNAVAILABLE", S.ERROR),
        ("SUSPENDED", S.SUSPENDED),
        ("REJECTED_INPUT", None),
        ("MISCONFIGURED", None),
        ("UNEXPECTED", S.ERROR),
    ],
)
def test_the_words_of_the_brokers_pages(name: str, status: ConnectionStatus | None) -> None:
    verdict: Verdict = getattr(errors, name)
    assert (verdict.connection_status or verdict.error.default_status) == status
