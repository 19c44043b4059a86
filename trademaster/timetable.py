"""The timetable of beat: which task comes how often. docs/operations.md says what each does."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

Entry = dict[str, Any]


def timetable(
    *,
    health: float,
    sessions: float,
    reminders: float,
    masters: float,
    candles: float,
    portfolios: float,
    limits: float,
    equity_days: float,
    orders: float,
    is_simulated: bool,
) -> dict[str, Entry]:
    """Celery's `beat_schedule`. What is given are the intervals that the installation sets, in seconds."""
    entries = {
        "check-due-connections": _every(health, "health.check_due", queue="health"),
        "roll-up-health": _every(300, "health.roll_up", queue="health"),
        "prune-health": _every(3600, "health.prune", queue="health"),
        "end-expired-sessions": _every(sessions, "brokers.end_expired_sessions"),
        "renew-due-sessions": _every(sessions, "brokers.renew_due_sessions"),
        "compare-clocks": _every(60, "brokers.compare_clocks"),
        "purge-states": _every(600, "brokers.purge_states"),
        "read-due-postbacks": _every(sessions, "brokers.read_due_postbacks"),
        "prune-postbacks": _every(3600, "brokers.prune_postbacks"),
        "send-login-reminders": _every(reminders, "brokers.send_login_reminders"),
        "deliver-due-alerts": _every(sessions, "brokers.deliver_due_alerts"),
        "prune-the-front-door": _every(3600, "accounts.prune"),
        # From 08:00 IST on, when the brokers have rebuilt them; asked again until each of them is there.
        "load-due-masters": _every(masters, "market.load_due_masters", queue="market"),
        "fill-candles": _every(candles, "market.fill_candles", queue="market"),
        "want-held": _every(candles, "portfolio.want_held", queue="portfolio"),
        "note-equity-days": _every(equity_days, "portfolio.note_equity_days", queue="portfolio"),
        "reconcile-orders": _every(orders, "orders.reconcile_orders"),
        "settle-gtts": _every(10, "orders.settle_gtts"),
        "move-orders": _every(orders, "orders.move_orders"),
        "end-unsent-orders": _every(10, "orders.end_unsent"),
        "expire-orders": _every(60, "orders.expire_orders"),
        "look-after-halts": _every(orders, "orders.look_after_halts"),
        "watch-feeds": _every(10, "orders.watch_feeds"),
        "sum-up-calls": _every(300, "brokers.sum_up_calls"),
        "look-after-audit": _every(3600, "trademaster.look_after_audit"),
        "finish-deletions": _every(600, "trademaster.finish_deletions"),
        "watch-limits": _every(limits, "portfolio.watch_limits", queue="portfolio"),
        "refresh-watched-portfolios": _every(portfolios, "portfolio.refresh_watched", queue="portfolio"),
    }
    if is_simulated:
        entries["keep-market-open"] = _every(600, "trademaster.keep_market_open")
    return entries


def _every(seconds: float, task: str, *, queue: str | None = None) -> Entry:
    """One task in so long; where no worker has taken it when the next one comes, it is dropped."""
    options: dict[str, Any] = {"expires": seconds}
    if queue is not None:
        options["queue"] = queue
    return {"task": task, "schedule": timedelta(seconds=seconds), "options": options}
