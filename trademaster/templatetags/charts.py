"""`{% chart_library as library %}`: the address of the library of charts; empty where it is not installed."""

from __future__ import annotations

from django import template
from django.templatetags.static import static

from trademaster import charts

register = template.Library()


@register.simple_tag
def chart_library() -> str:
    return static(charts.ADDRESS) if charts.is_installed() else ""
