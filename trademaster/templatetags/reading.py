"""Instants, levels and percents, as the frame and the page to read show them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from django import template
from django.utils import timezone

from portfolio.templatetags import risk

register = template.Library()


@register.filter
def ist(instant: str) -> str:
    """2026-11-23T04:41:07.125Z → 10:11:07, with the day where that is not today."""
    at = timezone.localtime(datetime.fromisoformat(instant))
    return f"{at:%H:%M:%S}" if at.date() == timezone.localdate() else f"{at.day} {at:%b, %H:%M:%S}"


@register.filter
def minute(instant: str) -> str:
    """2026-11-23T04:41:07.125Z → 10:11 IST, with the day where that is not today."""
    at = timezone.localtime(datetime.fromisoformat(instant))
    return f"{at:%H:%M} IST" if at.date() == timezone.localdate() else f"{at.day} {at:%b, %H:%M} IST"


@register.filter
def sentence(words: str) -> str:
    """With a full stop, where whoever wrote it has set none."""
    return words if words.endswith((".", "!", "?")) else f"{words}."


@register.filter
def account(line: Mapping[str, Any], sources: Sequence[Mapping[str, Any]]) -> str:
    """Whose line it is: its broker, or its account where the broker has several here; as in `account_names.js`."""
    own = [source for source in sources or () if source["broker_id"] == line.get("broker_id")]
    broker: str = line["broker_name"]
    if len(own) < 2:
        return broker
    told = [source["display_name"] for source in own if source["connection_id"] == line["connection_id"]]
    name: str = next(iter(told), "") or broker
    return name if name.startswith(broker) else f"{broker}, {name}"


@register.filter
def level(points: Decimal | None) -> str:
    """Points of an index, to two places; "—" where nobody knows them."""
    return risk.number(None if points is None else str(points.quantize(Decimal("0.01"), ROUND_HALF_UP)))


@register.filter
def signed_percent(value: Decimal | str | None) -> str:
    """+0.45%; empty where it is not known."""
    if value is None:
        return ""
    return f"{'+' if Decimal(value) > 0 else ''}{risk.percent(str(value))}"
