"""Compare the running demo's merged portfolio with the sum worked from the simulated brokers' own books."""

from __future__ import annotations

import os
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import Any

import msgspec
import requests
from django.core.management.base import BaseCommand, CommandError, CommandParser

TIMEOUT = 10
PATIENCE_SECONDS = 20
PAISA = Decimal("0.01")
ZERO = Decimal(0)


@dataclass
class Expected:
    """One share over all books: quantities by bucket, and its lots as (quantity, price paid)."""

    buckets: dict[str, Decimal] = field(default_factory=lambda: defaultdict(Decimal))
    lots: list[tuple[Decimal, Decimal | None]] = field(default_factory=list)
    prices: dict[str, Decimal] = field(default_factory=dict)
    listings: set[str] = field(default_factory=set)

    def add(self, bucket: str, quantity: int, average: str | None) -> None:
        if quantity:
            self.buckets[bucket] += quantity
            self.lots.append((Decimal(quantity), None if average is None else Decimal(average)))

    def figures(self) -> dict[str, str | None]:
        """The position as the API writes it: one price per share, NSE before BSE."""
        quantity = sum(self.buckets.values(), ZERO)
        costs = [None if average is None else count * average for count, average in self.lots]
        price = self.prices.get("NSE", self.prices.get("BSE"))
        return {
            "total_quantity": f"{quantity:f}",
            **{f"{name}_quantity": f"{self.buckets[name]:f}" for name in ("settled", "t1", "pledged", "today", "mtf")},
            "total_cost": None if None in costs else _paise(sum((cost for cost in costs if cost is not None), ZERO)),
            "current_value": None if price is None else _paise(quantity * price),
        }


class Command(BaseCommand):
    help = "Check the running demo: merged rows must equal the simulated brokers' books, to the paisa and to the share."

    def add_arguments(self, parser: CommandParser) -> None:
        run_dir = os.environ.get("TRADEMASTER_RUN_DIR", ".run")
        parser.add_argument("--demo", type=Path, default=Path(run_dir) / "demo.json", help="the demo's demo.json")

    def handle(self, *args: Any, **options: Any) -> None:
        demo = _demo(options["demo"])
        control = demo["control_url"]
        requests.put(f"{control}/market", json={"frozen": True}, timeout=TIMEOUT).raise_for_status()
        try:
            portfolio = _portfolio(demo["web"])
            slugs = {source["broker_id"] for source in portfolio["sources"]}
            books = {slug: _json(f"{control}/brokers/{slug}/book") for slug in sorted(slugs)}
        finally:
            requests.put(f"{control}/market", json={"frozen": False}, timeout=TIMEOUT)
        differences = list(_differences(portfolio, books))
        for line in differences:
            self.stdout.write(line)
        rows = len(portfolio["positions"]) + len(portfolio["derivatives"])
        if differences:
            raise CommandError(f"{len(differences)} differences in {rows} merged rows over {len(slugs)} brokers")
        total = portfolio["total_value"]
        self.stdout.write(f"{rows} merged rows over {len(slugs)} brokers equal the books; total value ₹{total}")


def _differences(portfolio: Mapping[str, Any], books: Mapping[str, Any]) -> Iterator[str]:
    shares, contracts = _worked(books)
    found = {row["isin"] or f"{row['exchange']}:{row['symbol']}": row for row in portfolio["positions"]}
    for isin, share in sorted(shares.items()):
        row = next((found[name] for name in (isin, *share.listings) if name in found), None)
        if row is None:
            yield f"{isin}: missing from the portfolio"
            continue
        for name, expected in share.figures().items():
            if row[name] != expected:
                yield f"{isin} {row['symbol']} {name}: expected {expected}, got {row[name]}"
    if len(shares) != len(portfolio["positions"]):
        yield f"positions: expected {len(shares)}, got {len(portfolio['positions'])}"
    netted = {(row["exchange"], row["symbol"]): Decimal(row["net_quantity"]) for row in portfolio["derivatives"]}
    if sorted(contracts.values()) != sorted(netted.values()):
        yield f"derivatives: expected net quantities {dict(contracts)}, got {netted}"
    worked = [row.figures()["current_value"] for row in shares.values()]
    total = sum((Decimal(value) for value in worked if value is not None), ZERO)
    if not portfolio["complete"] or Decimal(portfolio["total_value"]) != total:
        yield f"total_value: expected {total} and complete, got {portfolio['total_value']}"


def _worked(books: Mapping[str, Any]) -> tuple[dict[str, Expected], dict[str, Decimal]]:
    """Add the books up, knowing nothing of how the brokers or we write them."""
    shares: dict[str, Expected] = defaultdict(Expected)
    contracts: dict[str, Decimal] = defaultdict(Decimal)
    for book in books.values():
        for row in book["holdings"]:
            share = shares[row["isin"]]
            for bucket in ("settled", "t1", "pledged"):
                share.add(bucket, row[bucket], row["average_price"])
            if row["mtf"]:
                share.add("mtf", row["mtf"]["quantity"], row["mtf"]["average_price"])
            share.prices[row["exchange"]] = Decimal(row["last_price"])
        for row in book["positions"]:
            key = f"{row['exchange']}:{row['symbol']}"
            quantity = row["overnight_quantity"] + row["day_buy_quantity"] - row["day_sell_quantity"]
            if row["exchange"] not in ("NSE", "BSE"):
                contracts[key] += quantity
            elif row["product"] == "CNC" and quantity > 0:
                share = shares[row["isin"]]
                share.listings.add(key)
                share.add("today", quantity, row["day_buy_price"])
                share.prices[row["exchange"]] = Decimal(row["last_price"])
    return {isin: share for isin, share in shares.items() if share.lots}, contracts


def _demo(path: Path) -> dict[str, Any]:
    try:
        demo: dict[str, Any] = msgspec.json.decode(path.read_bytes())
    except OSError as error:
        raise CommandError(f"{path} cannot be read ({error.strerror}): is the demo running?") from None
    if not demo.get("web"):
        raise CommandError("The simulated brokers run alone: start the whole demo with `make demo`.")
    return demo


def _portfolio(web: Mapping[str, Any]) -> dict[str, Any]:
    """Sign in as the trader and read the portfolio, once it is younger than this call."""
    session = requests.Session()
    login = f"{web['url']}/login"
    session.get(login, timeout=TIMEOUT)
    trader = web["trader"]
    form = {
        "login": trader["username"],
        "password": trader["password"],
        "csrfmiddlewaretoken": session.cookies["csrftoken"],
    }
    session.post(login, data=form, headers={"Referer": login}, timeout=TIMEOUT)
    first, patience = "", time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < patience:
        answer = session.get(f"{web['url']}/api/v1/brokers/portfolio/consolidated", timeout=TIMEOUT)
        portfolio: dict[str, Any] = msgspec.json.decode(answer.content)
        if "error" in portfolio:
            raise CommandError(portfolio["error"]["message"])
        first = first or portfolio["last_updated"]
        if portfolio["last_updated"] != first:
            return portfolio
        time.sleep(0.5)
    raise CommandError("The portfolio is not renewed: is the demo running?")


def _json(url: str) -> Any:
    answer = requests.get(url, timeout=TIMEOUT)
    answer.raise_for_status()
    return msgspec.json.decode(answer.content)


def _paise(value: Decimal) -> str:
    return f"{value.quantize(PAISA, ROUND_HALF_UP):f}"
