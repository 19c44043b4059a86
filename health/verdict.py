"""What checks of several kinds, taken together, say of a connection. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from brokers.domain import ConnectionStatus
from brokers.errors import BrokerError, SessionEnded
from health.models import CheckType

# These say everything of a connection: the rest is about one service of the broker, or one permission of the app.
JUDGES = (CheckType.SESSION, CheckType.HOLDINGS)
# Refusals of our own: no broker was asked, or not with a session that stands, so nothing was measured.
OUR_OWN = frozenset({"rate_budget_spent", "circuit_open", "feed_session_ended"})
HEALTHY = frozenset({"", ConnectionStatus.CONNECTED})

Errors = Mapping[CheckType, BrokerError | None]


def is_our_own(error: BrokerError | None) -> bool:
    return error is not None and error.code in OUR_OWN


def of_connection(measured: Errors, others: Mapping[CheckType, str]) -> tuple[bool, BrokerError | None]:
    """Whether there is something to learn of the connection, and the error to learn, or None for a success.

    `measured` is how checks just ended; `others` is the last status of the kinds that were not checked now. A success
    counts only while no other judge fails, else the two would contradict each other at every turn. Quotes and orders
    are heard where the session has ended, and nowhere else: even a broker's "suspended" may there mean no more than
    that the app lacks the permission, and the session is asked at once instead (`needs_second_look`).
    """
    errors = [error for check_type, error in measured.items() if error is not None and _counts(check_type, error)]
    if errors:
        return True, _worst(errors)
    well = [check_type for check_type in JUDGES if check_type in measured and measured[check_type] is None]
    contradicted = any(others.get(check_type, "") not in HEALTHY for check_type in JUDGES)
    return bool(well) and not contradicted, None


def needs_second_look(check_type: CheckType, error: BrokerError | None, last_status: str) -> bool:
    """Whether quotes or orders have just met a block that only the session, or the holdings, can confirm."""
    blocked = error is not None and error.connection_status is ConnectionStatus.SUSPENDED
    return blocked and check_type not in JUDGES and last_status != ConnectionStatus.SUSPENDED


def _counts(check_type: CheckType, error: BrokerError) -> bool:
    return isinstance(error, SessionEnded) or (check_type in JUDGES and error.connection_status is not None)


def _worst(errors: Iterable[BrokerError]) -> BrokerError:
    """The one that says most: an ended session, then what a person must act upon, then what heals by itself."""
    return min(errors, key=lambda error: (not isinstance(error, SessionEnded), error.retryable))
