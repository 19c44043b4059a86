"""What can go wrong at a broker, and what each kind means.

    BrokerError              code, words for people; retryable, connection_status, user_action
    ├── BrokerUnavailable    nothing was changed: a read failed, or a write never left          retry
    │   ├── RateLimited      carries retry_after in seconds                                     retry later
    │   │   └── BudgetSpent  our own thrift: the call was never sent                            retry later
    │   ├── CircuitOpen      our own patience: the broker is left alone, carries retry_at       retry later
    │   └── FeedEnded        the session for prices alone has ended: the account is well        it is opened anew
    ├── OutcomeUnknown       a write left and no verdict came: timeout, 5xx, unreadable reply   reconcile, never resend
    ├── SessionEnded         expired or revoked                                                 the user logs in again
    ├── RequestRefused       the broker understood and said no                                  show the reason
    │   └── OrderRejected    only on the broker's own word                                      show the reason
    ├── NotSupported         known from the spec, raised before any I/O                         offer another broker
    ├── HeldBack             our own switch: trading is stopped, the call was never sent        a person re-arms
    ├── SecretUnreadable     our own vault: what is stored for this account cannot be used      a login, or keys anew
    └── UnexpectedResponse   a shape or state we do not know; names fields, never quotes bodies  we fix the mapping

Each answers three questions: may I retry (`retryable`), who must act (`user_action`), and what does this make of the
connection (`connection_status`; None leaves it as it is).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar

from brokers.domain import ConnectionStatus


class BrokerError(Exception):
    """`message` is ours and safe to log; `reason` is the broker's own words, for the person concerned alone."""

    default_code: ClassVar[str] = "broker_error"
    retryable: ClassVar[bool] = False
    default_status: ClassVar[ConnectionStatus | None] = ConnectionStatus.ERROR
    default_message: ClassVar[str] = "Something went wrong at the broker"
    default_action: ClassVar[str] = "Try again later."

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        vendor_code: str | None = None,
        reason: str | None = None,
        connection_status: ConnectionStatus | None = None,
        user_action: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code or self.default_code
        self.vendor_code = vendor_code
        self.reason = reason
        self.connection_status = connection_status or self.default_status
        self.user_action = user_action or self.default_action


class BrokerUnavailable(BrokerError):
    default_code = "broker_unavailable"
    default_message = "The broker could not answer"
    retryable = True
    default_action = "Nothing to do: it is asked again by itself."


class RateLimited(BrokerUnavailable):
    """`retry_after` is in seconds; None when the broker does not say."""

    default_code = "broker_rate_limited"
    default_message = "The broker asks for fewer calls"
    default_status: ClassVar[ConnectionStatus | None] = ConnectionStatus.RATE_LIMITED
    retry_after: float | None = None


class BudgetSpent(RateLimited):
    """The call would exceed what the broker allows, and was not sent. It says nothing of the connection."""

    default_code = "rate_budget_spent"
    default_message = "The broker allows no further call just now"
    default_status = None

    def __init__(self, message: str, *, retry_after: float) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class CircuitOpen(BrokerUnavailable):
    """The broker has not answered for a while; the call was not sent. It is tried again at `retry_at`.

    `connection_status` is that of the failure which opened the circuit: maintenance stays maintenance.
    """

    default_code = "circuit_open"
    default_message = "The broker has not answered for a while"

    def __init__(self, message: str, *, retry_at: datetime, connection_status: ConnectionStatus | None = None) -> None:
        super().__init__(message, connection_status=connection_status)
        self.retry_at = retry_at


class FeedEnded(BrokerUnavailable):
    """Prices have a session of their own at this broker, and it has ended. It says nothing of the account.

    The newest login for them ends the others: `feed_sessions.reopened` makes one for all who read.
    """

    default_code = "feed_session_ended"
    default_message = "The broker's session for prices has ended"
    default_status = None


class OutcomeUnknown(BrokerError):
    default_code = "outcome_unknown"
    default_message = "The broker did not say what became of it"
    default_action = "Do not send it again: it is being settled from the broker's own book."


class SessionEnded(BrokerError):
    default_code = "session_ended"
    default_message = "The session at the broker has ended"
    default_status = ConnectionStatus.TOKEN_EXPIRED
    default_action = "Log in to the broker again."


class RequestRefused(BrokerError):
    default_code = "request_refused"
    default_message = "The broker refused"
    default_status = None
    default_action = "See the broker's reason."


class OrderRejected(RequestRefused):
    default_code = "order_rejected"
    default_message = "The broker rejected the order"


class NotSupported(BrokerError):
    default_code = "not_supported"
    default_message = "The broker does not offer this"
    default_status = None
    default_action = "Use another broker for this."


class HeldBack(BrokerError):
    """Our own switch stops what would go to a broker; nothing was sent, and it says nothing of the connection."""

    default_code = "halted"
    default_message = "Trading is stopped"
    default_status = None
    default_action = "See why at the kill switch; a person re-arms it."


class SecretUnreadable(BrokerError):
    """Stored keys or tokens that no key reads, or that were moved there from elsewhere. Nothing was sent."""

    default_code = "secret_unreadable"
    misplaced_code: ClassVar[str] = "secret_misplaced"
    default_message = "What is stored for this account cannot be read"
    default_action = "Log in to the broker again."


class UnexpectedResponse(BrokerError):
    """The reply has a shape we do not know. `field` names the place; the body is never quoted."""

    default_code = "unexpected_response"
    default_action = "Nothing to do: support has been told that the broker's answer changed."

    def __init__(self, field: str, problem: str = "is unreadable", *, vendor_code: str | None = None) -> None:
        super().__init__(f"The broker's reply cannot be read: `{field}` {problem}.", vendor_code=vendor_code)
        self.field = field


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one of a broker's error codes means to us; the tables in every `spec.py` are made of these."""

    error: type[BrokerError]
    code: str | None = None
    connection_status: ConnectionStatus | None = None
    user_action: str | None = None


TOKEN_EXPIRED = Verdict(SessionEnded)
RATE_LIMITED = Verdict(RateLimited)
MAINTENANCE = Verdict(BrokerUnavailable, "broker_maintenance", ConnectionStatus.MAINTENANCE)
UNAVAILABLE = Verdict(BrokerUnavailable)
SUSPENDED = Verdict(
    RequestRefused,
    "access_suspended",
    ConnectionStatus.SUSPENDED,
    "The broker blocks this account or app: see its reason and settle it with the broker.",
)
REJECTED_INPUT = Verdict(RequestRefused)
INSUFFICIENT_FUNDS = Verdict(
    OrderRejected, "insufficient_funds", None, "Add money at the broker, or make the order smaller."
)
INSUFFICIENT_HOLDINGS = Verdict(
    OrderRejected, "insufficient_holdings", None, "Sell no more than what is settled, free and authorised there."
)
# The code of an order from an address that the broker does not know. The token is fine, and reads are not bound to one.
IP_NOT_REGISTERED = "ip_not_registered"
MISCONFIGURED = Verdict(
    RequestRefused,
    "app_misconfigured",
    None,
    "Check your app's API key, secret and redirect address at the broker.",
)
UNEXPECTED = Verdict(UnexpectedResponse)
