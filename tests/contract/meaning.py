"""What the words on the brokers' pages mean in our errors."""

from __future__ import annotations

from dataclasses import dataclass

from brokers.domain import ConnectionStatus
from brokers.errors import (
    BrokerError,
    BrokerUnavailable,
    RateLimited,
    RequestRefused,
    SessionEnded,
    UnexpectedResponse,
)


@dataclass(frozen=True)
class Meaning:
    errors: tuple[type[BrokerError], ...]
    connection_status: ConnectionStatus | None

    def fits(self, error: BrokerError) -> bool:
        return isinstance(error, self.errors) and error.connection_status is self.connection_status


MEANINGS = {
    "TOKEN_EXPIRED": Meaning((SessionEnded,), ConnectionStatus.TOKEN_EXPIRED),
    "RATE_LIMITED": Meaning((RateLimited,), ConnectionStatus.RATE_LIMITED),
    "MAINTENANCE": Meaning((BrokerUnavailable,), ConnectionStatus.MAINTENANCE),
    "SUSPENDED": Meaning((RequestRefused,), ConnectionStatus.SUSPENDED),
    "REJECTED_INPUT": Meaning((RequestRefused,), None),
    "ERROR": Meaning((BrokerUnavailable, UnexpectedResponse), ConnectionStatus.ERROR),
}
