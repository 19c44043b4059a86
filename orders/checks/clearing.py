"""What a passed run lets out: the only thing with which an order may be brought to a broker. Pure.

Made here alone, from a run in which all twelve are listed and none denies; `orders.door` asks for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from orders.checks.table import NUMBERS, confirming, stopping
from orders.checks.words import Checked, Verdict
from orders.decisions import Planned

_MADE_HERE: Final = object()


class NotCleared(Exception):
    """There is no run of the checks that lets it out. `code` and `words` are of what denied, where anything did."""

    def __init__(self, code: str = "not_cleared", words: str = "It has not passed the checks before an order.") -> None:
        super().__init__(words)
        self.code, self.words = code, words


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One order as it was checked; what is None is as its intent says."""

    connection_id: str
    exchange: str
    quantity: Decimal
    side: str | None = None
    product: str | None = None
    price: Decimal | None = None

    def allows(self, other: Part) -> bool:
        """No other account, side or price, and no more."""
        return (
            (self.connection_id, self.exchange) == (other.connection_id, other.exchange)
            and other.quantity <= self.quantity
            and self.side in (None, other.side)
            and self.product in (None, other.product)
            and self.price in (None, other.price)
        )


@dataclass(frozen=True, slots=True)
class Cleared:
    """These parts may be sent, or changed so, or left at their broker."""

    parts: tuple[Part, ...]
    proof: object

    def __post_init__(self) -> None:
        if self.proof is not _MADE_HERE:
            raise NotCleared

    def allows(self, part: Part) -> bool:
        return any(each.allows(part) for each in self.parts)


def of_run(checked: Sequence[Checked], planned: Iterable[Planned], *, confirmed: bool = False) -> Cleared:
    """`confirmed`: a person has said yes. Raises NotCleared, with what denied first, or is to be confirmed first."""
    for found in (*stopping(checked), *(() if confirmed else confirming(checked))):
        raise NotCleared(found.code, found.words)
    _require(tuple((each.number, each.verdict) for each in checked))
    parts = tuple(
        Part(
            connection_id=each.connection_id,
            exchange=each.exchange.value,
            quantity=each.quantity,
            side=each.side.value,
            product=each.product.value,
            price=each.price,
        )
        for each in planned
    )
    return Cleared(parts, _MADE_HERE)


def of_runs(runs: Sequence[Sequence[Checked]], planned: Sequence[Planned]) -> Cleared:
    """Of several that were checked each by itself. Raises NotCleared."""
    each = [of_run(checked, [one]) for checked, one in zip(runs, planned, strict=True)]
    return Cleared(tuple(part for one in each for part in one.parts), _MADE_HERE)


def of_stored(answer: Mapping[str, Any], *, confirmed: bool) -> Cleared:
    """From a stored decision's answer. Raises NotCleared: what was decided without the checks is never sent."""
    listed = answer.get("checks") or ()
    if answer.get("refusals"):
        raise NotCleared
    for each in listed:
        for found in each["findings"]:
            needs = found["verdict"] == Verdict.CONFIRM and found["code"] != "duplicate" and not confirmed
            if found["verdict"] == Verdict.DENY or needs:
                raise NotCleared(found["code"], found["words"])
    _require(tuple((each["number"], Verdict(each["verdict"])) for each in listed))
    return Cleared(tuple(_part(each) for each in answer["children"]), _MADE_HERE)


def _require(listed: tuple[tuple[int, Verdict], ...]) -> None:
    """All twelve, each of them made, and none of them a no."""
    if tuple(number for number, _ in listed) != NUMBERS:
        raise NotCleared
    if any(verdict in (Verdict.NOT_RUN, Verdict.DENY) for _, verdict in listed):
        raise NotCleared


def _part(child: Mapping[str, Any]) -> Part:
    price = child.get("price")
    return Part(
        connection_id=str(child["connection_id"]),
        exchange=str(child["exchange"]),
        quantity=Decimal(child["quantity"]),
        side=child.get("side"),
        product=child.get("product"),
        price=None if price is None else Decimal(price),
    )
