"""The alert that tells its owner that trading was stopped, or more of it, or goes on: no page may be open."""

from __future__ import annotations

from datetime import datetime

from accounts import alerts
from accounts.alert_models import AlertKind
from accounts.alerts import Alert, Plain
from portfolio.risk_models import TradingHalt


def tell(row: TradingHalt, *, now: datetime) -> None:
    """By every way of theirs that wants it, and again where it is not taken. Within the transaction that wrote the row.

    Why, in their own words, and who they are stay on their page.
    """
    what = f"{row.get_kind_display()}: {row.get_level_display()}."
    if row.ended_at is None:
        title = "trading was stopped"
        text = (
            f"{what} Why it was set, by whom, and how it is ended stands on your page.\n\nIf TradeMaster itself stops, "
            "orders of the day stay at the exchange: look into your brokers’ own apps then."
        )
    else:
        title, text = "a stop of trading has ended", f"{what} It has ended. By whom, and why, stands on your page."
    data: dict[str, Plain] = {
        "halt_id": row.pk,
        "kind": str(row.kind),
        "level": str(row.level),
        "cause": row.cause,
        "stands": row.ended_at is None,
    }
    alert = Alert(kind=AlertKind.TRADING_HALT, subject=f"halt:{row.pk}", title=title, text=text, data=data)
    alerts.tell(row.user_id, alert, now=now)
