"""`manage.py stream`, which also says when a price passed by: python -m bench.stamped

One line of standard output for each: the place, the exchange's number, the price, the machine's monotonic clock.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from typing import Any

import django

from market.pricing import Price

PRICED, APPLIED = "priced", "applied"


def said(place: str, prices: Iterable[Price]) -> None:
    at = time.monotonic()
    lines = [f"{place} {price.exchange_token} {price.last_price} {at:.6f}\n" for price in prices]
    os.write(1, "".join(lines).encode())


def beside(owner: Any, name: str, say: Callable[..., None]) -> None:
    """After every call of the method, say so."""
    method = getattr(owner, name)

    def called(*args: Any, **kwargs: Any) -> Any:
        answer = method(*args, **kwargs)
        say(*args)
        return answer

    setattr(owner, name, called)


def main() -> None:
    django.setup()
    from django.core.management import call_command

    from market.publishing import PricePublisher
    from portfolio.engine import Engine

    beside(PricePublisher, "put", lambda publisher, price: said(PRICED, [price]))
    beside(Engine, "apply", lambda engine, prices, sequence: said(APPLIED, prices))
    call_command("stream")


if __name__ == "__main__":
    main()
