"""`{% called "net_worth" %}` and `{% means "net_worth" %}`: the name of a number, and its definition as a tooltip."""

from __future__ import annotations

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString

from trademaster.glossary import TERMS

register = template.Library()


@register.simple_tag
def called(key: str) -> str:
    """Raises KeyError for a term that nobody defined."""
    return TERMS[key].name


@register.simple_tag
def means(key: str) -> SafeString:
    """`title="…"` for whatever shows that number. Raises KeyError for a term that nobody defined."""
    return format_html('title="{}"', TERMS[key].meaning)
