"""The merged book as tables to take along: CSV, and a workbook. Each number is as the API answers it."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import xlsxwriter

from accounts.audit_export import defused

Row = Mapping[str, Any]
Cell = str | None
# A spreadsheet shows fifteen digits of a double, and so many come back from one as they went in.
EXACT_DIGITS = 15
HOLDINGS = (
    *("isin", "symbol", "exchange", "company_name", "asset_class", "total_quantity", "settled_quantity", "t1_quantity"),
    *("pledged_quantity", "today_quantity", "mtf_quantity", "avg_price", "current_price", "close_price"),
    *("price_source", "price_state", "price_as_of", "total_cost", "known_cost", "known_quantity", "current_value"),
    *("unrealized_pnl", "unrealized_pnl_percent", "day_change", "day_change_percent", "weight_percent", "stale"),
)
PARTS = (
    *("isin", "symbol", "broker_name", "product", "quantity", "settled_quantity", "t1_quantity", "pledged_quantity"),
    *("today_quantity", "avg_price", "total_cost", "current_value", "unrealized_pnl", "day_change", "funded_amount"),
    *("stale", "sale_unsettled"),
)
POSITIONS = (
    *("kind", "broker_name", "exchange", "symbol", "product", "quantity", "avg_price", "current_price"),
    *("day_pnl", "unrealized_pnl", "realized_pnl", "stale"),
)
DERIVATIVES = (
    *("exchange", "symbol", "underlying", "expiry", "strike", "option_type", "net_quantity", "long_quantity"),
    *("short_quantity", "current_price", "day_pnl", "unrealized_pnl", "realized_pnl", "matched", "stale"),
)
FUNDS = ("broker_name", "available", "used", "collateral", "cash", "as_of", "stale")
SOURCES = (
    *("broker_name", "display_name", "state", "in_totals", "as_of", "age_seconds", "error_code", "error_message"),
    "unreadable_rows",
)
# What is written as a number where it can be; all else is text, whatever it looks like.
NUMBERS = frozenset(
    name
    for name in (*HOLDINGS, *PARTS, *POSITIONS, *DERIVATIVES, *FUNDS)
    if name.endswith(("quantity", "_price", "_cost", "_value", "_pnl", "_percent", "_amount", "day_change"))
) | {"strike", "available", "used", "collateral", "cash"}


# The tables that can be had alone.
TABLES = ("holdings", "brokers", "positions", "derivatives", "funds")


@dataclass(frozen=True, slots=True)
class Table:
    name: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]

    def cells(self) -> Iterator[list[Cell]]:
        return ([_text(row[name]) for name in self.columns] for row in self.rows)


def tables_of(book: Mapping[str, Any]) -> dict[str, Table]:
    """The API's answer, decoded, by the names of TABLES; `brokers` are their parts of the holdings, a line each."""
    parts = [
        {**part, "isin": row["isin"], "symbol": row["symbol"]}
        for row in book["positions"]
        for part in row["broker_positions"]
    ]
    sums = {**book["funds"], "broker_name": _sum_name(book["funds"]), "as_of": None, "stale": None}
    return {
        "holdings": Table("holdings", HOLDINGS, tuple(book["positions"])),
        "brokers": Table("brokers", PARTS, tuple(parts)),
        "positions": Table("positions", POSITIONS, tuple(book["trading_positions"])),
        "derivatives": Table("derivatives", DERIVATIVES, tuple(book["derivatives"])),
        "funds": Table("funds", FUNDS, (*book["funds"]["brokers"], sums)),
    }


def missing_in(book: Mapping[str, Any]) -> list[str]:
    """What the numbers do not cover, a sentence each: INCOMPLETE as the API says it, NOTE where a sum lacks rows."""
    coverage, told = book["coverage"], []
    for source in book["sources"]:
        name, why = source["display_name"], (source["error_message"] or "it does not answer").rstrip(".")
        if source["state"] == "MISSING":
            told.append(f"INCOMPLETE: {name} is not in these numbers: {why}.")
        elif source["state"] == "STALE":
            told.append(f"INCOMPLETE: The part of {name} is of {source['as_of']}: {why}.")
        if source["unreadable_rows"]:
            told.append(f"INCOMPLETE: {name}: {source['unreadable_rows']} rows could not be read.")
    told += _missing_funds(book)
    counted = (
        ("without_price", "INCOMPLETE: Holdings without a price, in no value: {}."),
        ("without_cost", "NOTE: Holdings without a known cost, in no unrealised P&L: {}."),
        ("without_day_change", "NOTE: Holdings without a known change of today: {}."),
        ("sales_unsettled", "NOTE: Sales of today whose shares may still be counted: {}."),
    )
    told += [words.format(coverage[name]) for name, words in counted if coverage[name]]
    loans = book["net_worth_parts"]["loans_unknown"]
    return told + ([f"NOTE: MTF holdings whose loan is not known: {loans}."] if loans else [])


def _missing_funds(book: Mapping[str, Any]) -> Iterator[str]:
    """Of accounts that are inside; that an answer is as old as its account's is said already."""
    sources = {source["connection_id"]: source for source in book["sources"]}
    for line in book["funds"]["brokers"]:
        source = sources[line["connection_id"]]
        name = source["display_name"]
        if line["available"] is None:
            yield f"INCOMPLETE: The margin at {name} is not known."
        elif line["stale"] and line["as_of"] != source["as_of"]:
            yield f"INCOMPLETE: The margin and cash at {name} are of {line['as_of']}: they were not told since."
        if line["cash"] is None:
            yield f"NOTE: The cash at {name} is not known."


def _sum_name(funds: Mapping[str, Any]) -> str:
    told = (line[name] for line in funds["brokers"] for name in ("available", "used", "collateral", "cash"))
    return "All" if funds["complete"] and None not in told else "All that is known"


def csv_of(table: Table, missing: Sequence[str]) -> str:
    """Text with exact numbers. What they lack (`missing_in`) stands in the first rows, before the heading."""
    written = io.StringIO()
    writer = csv.writer(written)
    writer.writerows([defused(words)] for words in missing)
    writer.writerow(table.columns)
    writer.writerows([defused(cell or "") for cell in cells] for cells in table.cells())
    return written.getvalue()


def workbook_of(book: Mapping[str, Any]) -> bytes:
    """A sheet for what is covered, and one for each table. Nothing in it is a formula."""
    kept = io.BytesIO()
    missing = missing_in(book)
    with xlsxwriter.Workbook(kept, {"in_memory": True}) as workbook:
        bold, warning = (
            workbook.add_format({"bold": True}),
            workbook.add_format({"bold": True, "font_color": "#B9232F"}),
        )
        _cover(workbook.add_worksheet("coverage"), book, missing, bold, warning)
        for table in tables_of(book).values():
            sheet = workbook.add_worksheet(table.name)
            first = 0
            if missing:
                sheet.write_string(0, 0, f"{_headline(book)}: see the sheet “coverage”", warning)
                first = 1
            _fill(sheet, table, first, bold)
    return kept.getvalue()


def _cover(sheet: Any, book: Mapping[str, Any], missing: Sequence[str], bold: Any, warning: Any) -> None:
    sheet.write_string(0, 0, _headline(book), bold if _is_complete(book) else warning)
    lines = [*missing, f"Made at {book['last_updated']}; amounts in INR, times in UTC."]
    for place, words in enumerate(lines, start=1):
        sheet.write_string(place, 0, words)
    _fill(sheet, Table("sources", SOURCES, tuple(book["sources"])), len(lines) + 2, bold)


def _headline(book: Mapping[str, Any]) -> str:
    whole = "Complete: every broker answered and told its margin, and every share has a price"
    return whole if _is_complete(book) else "INCOMPLETE"


def _is_complete(book: Mapping[str, Any]) -> bool:
    return bool(book["complete"] and book["funds"]["complete"])


def _fill(sheet: Any, table: Table, first: int, bold: Any) -> None:
    for column, name in enumerate(table.columns):
        sheet.write_string(first, column, name, bold)
    for row, cells in enumerate(table.cells(), start=first + 1):
        for column, (name, cell) in enumerate(zip(table.columns, cells, strict=True)):
            if cell is None:
                continue
            number = as_double(cell) if name in NUMBERS else None
            if number is None:
                sheet.write_string(row, column, cell)
            else:
                sheet.write_number(row, column, number)
    sheet.autofit()
    sheet.freeze_panes(first + 1, 0)


def as_double(text: str) -> float | None:
    """The double that comes back as these very digits; None where there is none, and the text must stand instead."""
    exact = Decimal(text)
    if len(exact.normalize().as_tuple().digits) > EXACT_DIGITS:
        return None
    double = float(text)  # how a spreadsheet keeps any number
    return double if Decimal(repr(double)) == exact else None


def _text(value: Any) -> Cell:
    if value is None:
        return None
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)
