"""What is said no with while trading is stopped, and to who would end that too early. See `trademaster.api`."""

from __future__ import annotations

from typing import Any

from rest_framework import exceptions, status


class HaltRefused(exceptions.APIException):
    """`where` is shown as the error's `details`."""

    status_code: int = status.HTTP_409_CONFLICT
    default_detail = "Not while trading is stopped."
    default_code = "halted"
    remedy = "See GET /api/v1/risk/kill-switch: who stopped it, when and why. A person re-arms it, with a reason."

    def __init__(self, detail: str | None = None, *, where: Any = None) -> None:
        super().__init__(detail)
        self.where = where


class TradingHalted(HaltRefused):
    default_detail = "Trading is stopped."


class TradingUnreadable(HaltRefused):
    status_code = status.HTTP_503_SERVICE_UNAVAILABLE
    default_detail = "It cannot be read whether trading is stopped, and so no order goes out."
    default_code = "halt_unreadable"
    remedy = "Try again in a few seconds. Cancelling works meanwhile."


class NotHalted(HaltRefused):
    default_detail = "Trading is not stopped by this."
    default_code = "not_halted"
    remedy = "See GET /api/v1/risk/kill-switch for what stands."


class HaltLocked(HaltRefused):
    default_detail = "This cannot be lifted before the day’s close, by nobody."
    default_code = "halt_locked"
    remedy = "Wait: it ends by itself at `details.locked_until`. What reduces a position goes out meanwhile."


class ReasonNeeded(HaltRefused):
    status_code = status.HTTP_400_BAD_REQUEST
    default_detail = "Re-arming needs a reason."
    default_code = "halt_reason_needed"
    remedy = "Say in `reason` what was looked into, and why trading may go on."
