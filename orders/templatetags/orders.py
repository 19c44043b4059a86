"""Moments, quantities, and addresses of the next page, on the pages of orders."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from django import template
from django.http import HttpRequest
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.timezone import localtime

from orders import words
from orders.explaining import plainly

register = template.Library()


@register.filter
def ist(at: datetime, now: datetime) -> str:
    """The time of day in India; with the date where that is another day than now."""
    there, today = localtime(at), localtime(now).date()
    return there.strftime("%H:%M:%S") if there.date() == today else there.strftime("%-d %b, %H:%M:%S")


@register.filter
def age(since: datetime, now: datetime) -> str:
    return words.age(since, now)


@register.filter
def plain(number: Decimal) -> str:
    """Without the zeros behind."""
    return plainly(number)


@register.filter
def figures(sentence: str) -> SafeString:
    """A sentence with its amounts and quantities marked: privacy mode hides those, and no other word of it."""
    pieces = enumerate(words.figures(str(sentence)))
    marked = (format_html("<span data-money>{}</span>", piece) if at % 2 else piece for at, piece in pieces)
    return format_html_join("", "{}", ((piece,) for piece in marked))


@register.simple_tag(takes_context=True)
def query(context: template.Context) -> str:
    """This page's own, for another address that reads it alike."""
    request: HttpRequest = context["request"]
    return f"?{request.GET.urlencode()}"


@register.simple_tag(takes_context=True)
def turned(context: template.Context, lane: str, page: int) -> str:
    """This page's own query with another page of one lane: `?q=INFY&ended=2`."""
    request: HttpRequest = context["request"]
    asked = request.GET.copy()
    asked[lane] = str(page)
    return f"?{asked.urlencode()}"
