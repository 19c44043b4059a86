"""`{% modules "trademaster/dashboard.js" %}`: that module's script, and hints for all that it imports."""

from __future__ import annotations

from django import template
from django.templatetags.static import static
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from trademaster.modules import closure

register = template.Library()


@register.simple_tag
def modules(*addresses: str) -> SafeString:
    imported = dict.fromkeys(each for address in addresses for each in closure(address) if each not in addresses)
    hints = format_html_join("\n  ", '<link rel="modulepreload" href="{}">', ((static(each),) for each in imported))
    scripts = format_html_join(
        "\n  ", '<script type="module" src="{}"></script>', ((static(each),) for each in addresses)
    )
    return format_html("{}\n  {}", hints, scripts)
