"""Numbers of the risk page as words: they come as exact text, and are grouped and shortened, never computed with."""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal

from django import template

register = template.Library()

MINUS = "\u2212"
UNKNOWN = "—"
LAKH, CRORE = Decimal(100_000), Decimal(10_000_000)
TWO_PLACES = Decimal("0.01")


def _grouped(whole: str) -> str:
    """Thousands, then lakhs and crores: 12345678 → 1,23,45,678."""
    head, tail = whole[:-3], whole[-3:]
    pairs: list[str] = []
    while head:
        pairs.insert(0, head[-2:])
        head = head[:-2]
    return ",".join([*pairs, tail])


def _written(text: str, prefix: str = "", *, plus: bool = False) -> str:
    number = Decimal(text)
    whole, _, fraction = f"{abs(number):f}".partition(".")
    before = MINUS if number < 0 else "+" if plus and number > 0 else ""
    return f"{before}{prefix}{_grouped(whole)}{'.' + fraction if fraction else ''}"


@register.filter
def rupees(text: str | None) -> str:
    return UNKNOWN if text is None else _written(text, "₹")


@register.filter
def signed_rupees(text: str | None) -> str:
    return UNKNOWN if text is None else _written(text, "₹", plus=True)


@register.filter
def short_rupees(text: str | None) -> str:
    """In lakh and crore, where it is as much: ₹18.79 lakh."""
    if text is None:
        return UNKNOWN
    size = abs(Decimal(text))
    for unit, word in ((CRORE, "crore"), (LAKH, "lakh")):
        if size >= unit:
            return f"{_written(str((Decimal(text) / unit).quantize(TWO_PLACES, ROUND_HALF_UP)), '₹')} {word}"
    return _written(str(Decimal(text).quantize(Decimal(1), ROUND_HALF_UP)), "₹")


@register.filter
def number(text: str | int | None) -> str:
    return UNKNOWN if text is None else _written(str(text))


@register.filter
def rough(text: str | None) -> str:
    """To two places, without zeros at the end."""
    if text is None:
        return UNKNOWN
    return _written(f"{Decimal(text).quantize(TWO_PLACES, ROUND_HALF_UP).normalize():f}")


@register.filter
def percent(text: str | None) -> str:
    return UNKNOWN if text is None else f"{_written(text)}%"


@register.filter
def as_percent(text: str | None) -> str:
    """A ratio as percent: 0.7512 → 75.1%."""
    if text is None:
        return UNKNOWN
    return f"{_written(str((Decimal(text) * 100).quantize(Decimal('0.1'), ROUND_HALF_UP)))}%"


@register.filter
def sign(text: str | None) -> str:
    """-1, 0 or 1, for colours; empty where nothing is known."""
    if text is None:
        return ""
    return str((Decimal(text) > 0) - (Decimal(text) < 0))


@register.filter
def words(code: str) -> str:
    """MAY_DELIVER → May deliver."""
    return code.replace("_", " ").capitalize()
