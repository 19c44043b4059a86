"""Worked examples in files: read, run through an engine, and compared.

A file holds `examples`: `{"id", "title", "input", "expected"}`; amounts are text. Those of risk have a `kind` and a
`tolerance`, too.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec

from brokers.domain import Exchange, Side
from orders.charges import Deal, Mode, exact, rounded
from orders.routing import Decision, Part, Problem, solve
from orders.routing.decision import in_paise
from orders.routing.reasons import EMPTY_LIMIT
from orders.tariffs import Brokerage, ChargeError, Rates, exact_number
from portfolio.risk.errors import RiskError
from portfolio.risk.examples import KINDS

DATA = Path(__file__).parent / "data" / "charges.json"
CHARGES_WITHIN = Decimal("0.02")
READER = msgspec.json.Decoder(float_hook=Decimal)  # no float ever exists


class BrokenExamples(Exception):
    """The file cannot be read, or a case of it: names the place."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One example as it came out. `expected` and `got` have the same keys."""

    id: str
    title: str
    expected: Mapping[str, Any]
    got: Mapping[str, Any]
    differs: tuple[str, ...]


Engine = Callable[[Mapping[str, Any], Rates], Case]


def seed_rates() -> Rates:
    """The rates that TradeMaster comes with."""
    return Rates(READER.decode(DATA.read_bytes()))


def cases_of(path: Path) -> list[Mapping[str, Any]]:
    """The examples of a file. Raises BrokenExamples."""
    try:
        document = READER.decode(path.read_bytes())
    except OSError as error:
        raise BrokenExamples(f"{path}: {error.strerror}.") from None
    except msgspec.DecodeError as error:
        raise BrokenExamples(f"{path} is no JSON: {error}.") from None
    examples = document.get("examples") if isinstance(document, dict) else None
    if not isinstance(examples, list) or not all(isinstance(example, dict) for example in examples):
        raise BrokenExamples(f"{path} holds no list named examples.")
    if not examples:
        raise BrokenExamples(f"{path} holds no example at all.")
    return examples


def run(engine: Engine, example: Mapping[str, Any], rates: Rates) -> Case:
    """One example. Raises BrokenExamples where it cannot be read; a refusal of the engine is an answer that differs."""
    try:
        return engine(example, rates)
    except (ChargeError, RiskError) as error:
        return _failed(example, f"{error.code}: {error}")
    except (KeyError, ValueError, TypeError, ArithmeticError, AttributeError) as error:
        name = example.get("id", "without an id")
        raise BrokenExamples(f"Example {name} cannot be read: {type(error).__name__} {error}.") from None


def _failed(example: Mapping[str, Any], words: str) -> Case:
    return Case(
        id=str(example.get("id", "?")),
        title=str(example.get("title", "")),
        expected=leaves(example.get("expected", {})),
        got={"error": words},
        differs=("error",),
    )


def charges_case(example: Mapping[str, Any], rates: Rates) -> Case:
    given, expected = example["input"], example["expected"]
    costs = rounded(exact(deal_of(given), rates), Mode(given.get("mode", Mode.ESTIMATE)))
    plain = costs.plain()
    got = {name: plain.get(name, "not computed") for name in expected}
    return Case(
        id=example["id"],
        title=example.get("title", ""),
        expected=expected,
        got=got,
        differs=tuple(
            name for name in expected if name not in plain or exact_number(expected, name) != Decimal(got[name])
        ),
    )


def deal_of(given: Mapping[str, Any]) -> Deal:
    """The `input` of an example. A debit of the demat is charged where `dp_debit` says that there is one."""
    own = given.get("brokerage_override")
    return Deal(
        broker=given["broker"],
        segment=given["segment"],
        exchange=Exchange(given["exchange"]),
        side=Side(given["side"].upper()),
        quantity=exact_number(given, "quantity"),
        price=exact_number(given, "price"),
        on=date.fromisoformat(given["date"]),
        multiplier=exact_number(given, "multiplier") if "multiplier" in given else Decimal(1),
        lots=exact_number(given, "lots") if "lots" in given else None,
        asset=given.get("asset", "EQUITY"),
        bse_group=given.get("bse_group", "A"),
        underlying=given.get("underlying"),
        plan_id=given.get("plan_id"),
        dp_paid_today=not given.get("dp_debit", False),
        is_woman=bool(given.get("is_woman", False)),
        own_brokerage=None if own is None else Brokerage.from_plain(own),
    )


def routing_case(example: Mapping[str, Any], rates: Rates) -> Case:
    """A routing problem. Quantities, places and reasons are compared exactly, charges within two paise.

    Files name as excluded who may not be asked at all; we also tell of whom nothing is left to ask for.
    """
    expected = example["expected"]
    got = routed(solve(Problem.from_plain(example["problem"]), rates))
    return Case(
        id=example["id"],
        title=example.get("title", ""),
        expected=expected,
        got={name: got.get(name, "not computed") for name in expected},
        differs=tuple(name for name in expected if name not in got or not _agrees(name, expected[name], got[name])),
    )


def routed(decision: Decision) -> dict[str, Any]:
    """A decision in the words of an example's `expected`."""
    amounts = {
        "total_charges": decision.charges_in_paise,
        "health_penalty": in_paise(decision.health_penalty),
        "tax": in_paise(decision.tax),
        "split_penalty": in_paise(decision.split_penalty),
    }
    return {
        "allocation": [_place(part) for part in decision.allocation],
        "children": [_place(part) for part in decision.children],
        "unrouted": decision.unrouted,
        "held_for_reconciliation": decision.held_for_reconciliation,
        "excluded": {each.broker: each.words for each in decision.excluded if each.code not in EMPTY_LIMIT.values()},
        **{name: f"{amount:f}" for name, amount in amounts.items()},
    }


def _place(part: Part) -> dict[str, Any]:
    return {"broker": part.broker, "exchange": str(part.exchange), "quantity": part.quantity}


def _agrees(name: str, expected: Any, got: Any) -> bool:
    if name == "total_charges":
        return abs(Decimal(expected) - Decimal(got)) <= CHARGES_WITHIN
    return bool(Decimal(expected) == Decimal(got) if isinstance(got, str | Decimal) else expected == got)


def risk_case(example: Mapping[str, Any], rates: Rates) -> Case:
    """A figure of risk. Numbers are compared at the example's own tolerance, everything else exactly.

    Whatever is expected must be there; lists must be as long.
    """
    engine = KINDS.get(example["kind"])
    if engine is None:
        return _failed(example, f"kind_unknown: nothing computes {example['kind']}.")
    expected, got = leaves(example["expected"]), leaves(engine(example["input"]))
    tolerance = Decimal(example["tolerance"])
    return Case(
        id=example["id"],
        title=example.get("title", ""),
        expected=expected,
        got={name: got.get(name, "not computed") for name in expected},
        differs=tuple(
            name for name in expected if name not in got or not _is_near(expected[name], got[name], tolerance)
        ),
    )


def leaves(value: Any, path: str = "") -> dict[str, Any]:
    """What stands at the ends of nested mappings and lists, by its path: `per_broker.fyers.leverage`, `rows.0.pnl`.

    A list adds its `length`, so that one with too many rows differs.
    """
    if isinstance(value, Mapping) and value:
        pairs = [(str(key), each) for key, each in value.items()]
    elif isinstance(value, list | tuple):
        pairs = [("length", len(value)), *((str(row), each) for row, each in enumerate(value))]
    else:
        return {path: value}
    return {name: leaf for key, each in pairs for name, leaf in leaves(each, f"{path}.{key}".lstrip(".")).items()}


def _is_near(expected: Any, got: Any, tolerance: Decimal) -> bool:
    """Within the tolerance, which is absolute.

    A large number may be written to fewer places than that, such as 17101.9689 within a millionth. Where its digits are
    as many as a relative tolerance would want, it must agree in all of them.
    """
    if not isinstance(expected, Decimal | int) or not isinstance(got, Decimal | int | float):
        return bool(expected == got)
    if not math.isfinite(got):
        return False
    number = Decimal(expected)
    half_digit = Decimal(5).scaleb(int(number.as_tuple().exponent) - 1)
    if half_digit <= tolerance * abs(number):
        tolerance = max(tolerance, half_digit)
    return abs(number - Decimal(got)) <= tolerance


# Which engine a word of the command line means.
ENGINES: dict[str, Engine] = {"charges": charges_case, "routing": routing_case, "risk": risk_case}
