"""What limits say no with: each a stable code, words and a remedy. See `trademaster.api`."""

from __future__ import annotations

from rest_framework import exceptions, status


class LimitRefused(exceptions.APIException):
    status_code: int = status.HTTP_400_BAD_REQUEST
    default_detail = "Such a limit makes no sense."
    default_code = "limit_refused"
    remedy = "See “Limits and alerts” in docs/risk.md."


class NoLevel(LimitRefused):
    default_detail = "A limit needs a warning level, a block level, or both."
    default_code = "limit_without_level"
    remedy = "Send `warn` or `block`."


class WarnAboveBlock(LimitRefused):
    default_detail = "The warning would come after the block."
    default_code = "warn_above_block"
    remedy = "Send a `warn` that is not above `block`."


class WrongScope(LimitRefused):
    default_detail = "This is not measured by that scope."
    default_code = "limit_scope_wrong"
    remedy = "See the table of metrics in docs/risk.md for the scopes of each."


class WrongKey(LimitRefused):
    default_detail = "There is nothing of yours by that name in this scope."
    default_code = "limit_key_wrong"
    remedy = "GLOBAL has no key; BROKER takes a broker_type, ACCOUNT the id of a connection of yours; empty is each."


class ActionWithoutBlock(LimitRefused):
    default_detail = "What is done at the block level needs a block level."
    default_code = "action_without_block"
    remedy = "Send `block`, or the action NOTIFY."


class DayLossMustStop(LimitRefused):
    default_detail = "A block level of the day's loss locks trading for the rest of the day."
    default_code = "day_loss_must_stop"
    remedy = "Take BLOCK_INCREASING, REDUCE_ONLY or KILL as the action, or leave `block` out to be warned alone."


class KillNeedsTheBook(LimitRefused):
    default_detail = "One order that is too large is refused, and trips no switch."
    default_code = "kill_needs_the_book"
    remedy = "Take another action for this metric."


class LimitExists(LimitRefused):
    status_code = status.HTTP_409_CONFLICT
    default_detail = "There is a limit of this metric, scope and key already."
    default_code = "limit_exists"
    remedy = "Change that one."


class TooManyLimits(LimitRefused):
    status_code = status.HTTP_409_CONFLICT
    default_detail = "There are as many limits as one person may have."
    default_code = "too_many_limits"
    remedy = "Remove one first."


class AlreadyAcknowledged(LimitRefused):
    status_code = status.HTTP_409_CONFLICT
    default_detail = "Somebody has taken note of this already."
    default_code = "breach_acknowledged"
    remedy = "Look at who did, and what they noted: GET /api/v1/risk/breaches."
