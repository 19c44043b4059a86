"""What the order API says no with: each a stable code, words and a remedy. See `trademaster.api`."""

from __future__ import annotations

from typing import Any

from rest_framework import exceptions, status


class OrderRefused(exceptions.APIException):
    """`where` is shown as the error's `details`."""

    status_code: int = status.HTTP_409_CONFLICT
    default_detail = "Not as things stand."
    default_code = "order_refused"
    remedy = "Look at the order as it is now."

    def __init__(self, detail: str | None = None, *, where: Any = None, remedy: str | None = None) -> None:
        super().__init__(detail)
        self.where = where
        if remedy is not None:
            self.remedy = remedy


class KeyReused(OrderRefused):
    default_detail = "This Idempotency-Key was used for another order."
    default_code = "idempotency_key_reused"
    remedy = "Make a new key for each new order; send the same key only with the same body."


class KeyMissing(OrderRefused):
    status_code = status.HTTP_400_BAD_REQUEST
    default_detail = "An order needs an Idempotency-Key header of 8 to 100 letters, digits, hyphens or underscores."
    default_code = "idempotency_key_missing"
    remedy = "Make one for each order, such as a UUID, and send the same one again when you try again."


class ConfirmDuplicate(OrderRefused):
    default_detail = "The same order was placed a moment ago."
    default_code = "confirm_duplicate"
    remedy = "If you want it a second time, send it again with `confirm_duplicate` true. `details.order` is the first."


class UnknownInstrument(OrderRefused):
    status_code = status.HTTP_400_BAD_REQUEST
    default_detail = "There is no such instrument, or no longer."
    default_code = "instrument_unknown"
    remedy = "Find it by GET /api/v1/market/instruments."


class UnknownConnection(OrderRefused):
    status_code = status.HTTP_400_BAD_REQUEST
    default_detail = "There is no such connection of yours."
    default_code = "unknown_connection"
    remedy = "See GET /api/v1/brokers/connections."


class NotAwaitingApproval(OrderRefused):
    default_detail = "This order does not wait for approval."
    default_code = "not_awaiting_approval"


class ApprovalTooLate(OrderRefused):
    default_detail = "The time for approving this order is over; nothing of it was sent."
    default_code = "approval_expired"
    remedy = "Place it again."


class ApprovalNeeded(OrderRefused):
    default_detail = "As it would be then, this needs approval."
    default_code = "approval_needed"
    remedy = "Cancel it and place a new order, which waits for your approval."


class TradingOff(OrderRefused):
    default_detail = "Trading is turned off for this connection."
    default_code = "trading_off"
    remedy = "Turn it on for this connection, with a fresh second factor. Cancelling needs no switch."


class NothingStands(OrderRefused):
    default_detail = "Nothing of this order stands at a broker any more."
    default_code = "nothing_stands"


class SeveralStand(OrderRefused):
    default_detail = "This order stands at several brokers, so that its quantity cannot be changed in one."
    default_code = "several_stand"
    remedy = "Cancel it and place a new one, or change its price alone."


class OutcomeOpen(OrderRefused):
    default_detail = "It is not known yet what became of a part of this order."
    default_code = "outcome_open"
    remedy = "Wait until it is settled from the broker's own book; nothing is sent twice meanwhile."


class NotForSettling(OrderRefused):
    default_detail = "Only an order that is UNKNOWN, and whose day is over, is settled by its owner."
    default_code = "not_for_settling"
    remedy = "Wait: until its day is over it is settled from the broker's own book."


class MoreThanOrdered(OrderRefused):
    status_code = status.HTTP_400_BAD_REQUEST
    default_detail = "More was filled than was ordered, or nothing at a price."
    default_code = "more_than_ordered"
    remedy = "Take both figures from the contract note, in units and INR a unit."


class BreaksRule(OrderRefused):
    default_detail = "This breaks a rule."
    default_code = "rule_broken"


class NoPosition(OrderRefused):
    default_detail = "There is no such position at this broker now."
    default_code = "no_position"
    remedy = "Look at the portfolio: it may have been closed already."


class BrokerAway(OrderRefused):
    default_detail = "A position can be closed only where it is, and that broker cannot be asked now."
    default_code = "broker_away"
    remedy = "Close it in the broker's own app, or try again. A hedge elsewhere is another order, and yours to decide."


class NoGtt(OrderRefused):
    status_code = status.HTTP_422_UNPROCESSABLE_ENTITY
    default_detail = "This broker has no orders that wait for a price."
    default_code = "gtt_not_offered"
    remedy = "Use another broker for this; `features` of GET /api/v1/brokers says who has `gtt`."
