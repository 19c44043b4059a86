"""Instants of an answer, as a page to read shows them."""

from __future__ import annotations

from datetime import datetime

from django import template
from django.utils import timezone

register = template.Library()


@register.filter
def ist(instant: str) -> str:
    """2026-11-23T04:41:07.125Z → 10:11:07, with the day where that is not today."""
    at = timezone.localtime(datetime.fromisoformat(instant))
    return f"{at:%H:%M:%S}" if at.date() == timezone.localdate() else f"{at.day} {at:%b, %H:%M:%S}"
