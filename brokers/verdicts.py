"""What an answer that is no success comes to: one error of the tree, by the broker's own table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from brokers.errors import (
    RATE_LIMITED,
    UNAVAILABLE,
    BrokerError,
    BrokerUnavailable,
    OutcomeUnknown,
    RateLimited,
    UnexpectedResponse,
    Verdict,
)

LONGEST_PAUSE = 86400.0

# Looked up by (status, code), then (None, code), then (status, None).
ErrorTable = Mapping[tuple[int | None, str | None], Verdict]


@dataclass(frozen=True, slots=True)
class Failure:
    """What an error envelope says: the broker's own code and words."""

    code: str | None
    message: str | None = None


def error_of(
    status: int,
    headers: Mapping[str, str],
    failure: Failure,
    errors: ErrorTable,
    *,
    writes: bool,
    reason: str | None,
) -> BrokerError:
    """The error that an answer comes to. `reason`: the broker's words, with no secret left in them."""
    verdict = _verdict(status, failure, errors)
    if writes and (status >= 500 or _leaves_open(verdict)):
        return OutcomeUnknown(
            "The broker failed while it was writing.",
            vendor_code=failure.code,
            reason=reason,
        )
    if verdict.error is UnexpectedResponse:
        return UnexpectedResponse(f"HTTP {status}", "is not an answer we know", vendor_code=failure.code)
    error = verdict.error(
        f"{verdict.error.default_message} (HTTP {status}, code {failure.code or 'none'}).",
        code=verdict.code,
        vendor_code=failure.code,
        reason=reason,
        connection_status=verdict.connection_status,
        user_action=verdict.user_action,
    )
    if isinstance(error, RateLimited):
        error.retry_after = _retry_after(headers.get("Retry-After"))
    return error


def no_answer(message: str, *, writes: bool) -> BrokerError:
    return OutcomeUnknown(message) if writes else BrokerUnavailable(message)


def unreadable(*, writes: bool) -> BrokerError:
    if writes:
        return OutcomeUnknown("The broker's answer to a write cannot be read.")
    return UnexpectedResponse("body", "is not JSON")


def _verdict(status: int, failure: Failure, errors: ErrorTable) -> Verdict:
    # A proxy answers 400, too: without the broker's own words it is nobody's no.
    is_told = failure.code is not None or failure.message is not None
    for key in ((status, failure.code), (None, failure.code), (status, None)):
        if key != (None, None) and key in errors and (is_told or key != (400, None)):
            return errors[key]
    if status == 429:
        return RATE_LIMITED
    return UNAVAILABLE if status >= 500 else Verdict(UnexpectedResponse)


def _leaves_open(verdict: Verdict) -> bool:
    """Whether such an answer to a write says nothing of what became of it: an outage, or words we do not know."""
    if issubclass(verdict.error, RateLimited):
        return False
    return verdict.error is UnexpectedResponse or issubclass(verdict.error, BrokerUnavailable)


def _retry_after(value: str | None) -> float | None:
    """Seconds to wait, from either form of the header; a day at most, whatever a proxy may write."""
    if not value:
        return None
    try:
        if value.strip().isdecimal():
            seconds = float(value)
        else:
            seconds = (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds()
    except (TypeError, ValueError):
        return None
    return min(max(0.0, seconds), LONGEST_PAUSE)
