"""The book taken along: exact digits, no formulas, its gaps first, and only one's own."""

from __future__ import annotations

import csv
import io
import re
import zipfile
from datetime import timedelta
from decimal import Decimal
from typing import Any
from xml.etree import ElementTree

import pytest
import time_machine
from django.test import Client
from django.utils import timezone

from accounts.models import User
from brokers.domain import Funds, Product
from brokers.simulation.control import Control
from portfolio import book_export, services
from portfolio.domain import Source, SourceState
from portfolio.presentation import present
from tests.portfolio.sources import INFY, NOW, SBIN, account, holding, merged, source

CSV, XLSX = "/portfolio/export.csv", "/portfolio/export.xlsx"
CONSOLIDATED = "/api/v1/brokers/portfolio/consolidated"
SHEET = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"


def rows_of(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def sheets(workbook: bytes) -> dict[str, list[list[tuple[str, str]]]]:
    """By the sheet's name: rows of (type, text); the type of a number is "n"."""
    with zipfile.ZipFile(io.BytesIO(workbook)) as archive:
        strings = [
            "".join(part.text or "" for part in each.iter(f"{SHEET}t"))
            for each in ElementTree.fromstring(archive.read("xl/sharedStrings.xml"))  # noqa: S314 - our own file
        ]
        names = [
            each.attrib["name"]
            for each in ElementTree.fromstring(archive.read("xl/workbook.xml")).iter(f"{SHEET}sheet")  # noqa: S314
        ]
        return {
            name: [
                [_cell(cell, strings) for cell in row]
                for row in ElementTree.fromstring(archive.read(f"xl/worksheets/sheet{number}.xml")).iter(f"{SHEET}row")  # noqa: S314
            ]
            for number, name in enumerate(names, start=1)
        }


def _cell(cell: Any, strings: list[str]) -> tuple[str, str]:
    assert cell.find(f"{SHEET}f") is None, "a formula"
    kind, value = cell.get("t", "n"), cell.find(f"{SHEET}v")
    text = "" if value is None else value.text
    return kind, strings[int(text)] if kind == "s" else text


def funds(available: str | None = "5000", cash: str | None = "4000") -> Funds:
    known = None if available is None else Decimal(available)
    return Funds(available=known, used=Decimal(0), collateral=Decimal(0), cash=None if cash is None else Decimal(cash))


def book(*, funds: Funds | None = None, **more: Any) -> dict[str, Any]:
    shares = [
        holding(INFY, "10.125", average="100.123456789", last="1234567.05", company_name="=HYPERLINK(1)"),
        holding(SBIN, 3, symbol="-SBIN", average=None, last=None, close=None),
    ]
    answer: dict[str, Any] = present(merged(source("zerodha", account(shares, funds=funds)), **more))
    return answer


class TestTables:
    def test_csv_has_every_digit_that_the_api_tells(self) -> None:
        told = book()
        table = book_export.tables_of(told)["holdings"]
        rows = rows_of(book_export.csv_of(table, []))
        for row, position in zip(rows, told["positions"], strict=True):
            for name in set(book_export.HOLDINGS) & book_export.NUMBERS:
                assert row[name] == (position[name] or ""), name

    def test_no_cell_is_a_formula_to_a_spreadsheet(self) -> None:
        rows = rows_of(book_export.csv_of(book_export.tables_of(book())["holdings"], []))
        assert {row["company_name"] for row in rows} == {"'=HYPERLINK(1)", ""}
        assert {row["symbol"] for row in rows} == {"INFY", "'-SBIN"}
        written = sheets(book_export.workbook_of(book()))["holdings"]
        assert ("s", "=HYPERLINK(1)") in [cell for row in written for cell in row]

    def test_a_workbook_has_numbers_where_a_double_holds_them_and_text_elsewhere(self) -> None:
        told = book()
        told["positions"][0]["current_value"] = "12345678901234567.89"
        written = sheets(book_export.workbook_of(told))["holdings"]
        head = next(row for row in written if ("s", "isin") in row)
        infy = next(row for row in written if ("s", INFY) in row)
        cells = dict(zip([name for _, name in head], infy, strict=False))
        assert cells["current_price"] == ("n", "1234567.05")
        assert cells["avg_price"] == ("n", "100.12345679")
        assert ("s", "12345678901234567.89") in infy

    @pytest.mark.parametrize(
        ("text", "double"),
        [("0.1", 0.1), ("-12.50", -12.5), ("1234567890123.45", 1234567890123.45), ("12345678901234.567", None)],
    )
    def test_a_double_comes_back_as_the_same_digits_or_is_not_written(self, text: str, double: float | None) -> None:
        assert book_export.as_double(text) == double
        assert double is None or Decimal(repr(double)) == Decimal(text)

    def test_every_part_and_sum_is_there(self) -> None:
        tables = book_export.tables_of(book())
        assert tuple(tables) == book_export.TABLES
        assert [row["broker_name"] for row in tables["funds"].rows] == ["Zerodha", "All that is known"]
        assert len(tables["brokers"].rows) == 2

    def test_an_incomplete_book_says_so_first(self) -> None:
        old = source("zerodha", account([holding(INFY, 10)], funds=funds(), age=300), state=SourceState.STALE)
        ended = source("groww", None, error_code="session_ended", error_message="The session at the broker has ended.")
        told = present(merged(old, ended))
        missing = book_export.missing_in(told)
        lines = book_export.csv_of(book_export.tables_of(told)["holdings"], missing).splitlines()
        assert re.fullmatch(
            "INCOMPLETE: The part of Zerodha 1 is of 2026-11-23T04:55:00.*: it does not answer.", lines[0]
        )
        assert lines[1] == "INCOMPLETE: Groww 1 is not in these numbers: The session at the broker has ended."
        assert lines[2].startswith("isin,symbol,")
        written = sheets(book_export.workbook_of(told))
        assert written["coverage"][0][0] == ("s", "INCOMPLETE")
        assert all(rows[0][0][1].startswith("INCOMPLETE") for rows in written.values())

    def test_what_has_no_price_or_cost_is_counted_and_only_a_price_makes_it_incomplete(self) -> None:
        assert book_export.missing_in(book(funds=funds()))[:2] == [
            "INCOMPLETE: Holdings without a price, in no value: 1.",
            "NOTE: Holdings without a known cost, in no unrealised P&L: 1.",
        ]


class TestFunds:
    """That every broker answered and every share has a price does not make the money complete."""

    def told(self, *sources: Source) -> dict[str, Any]:
        answer: dict[str, Any] = present(merged(*sources))
        assert answer["complete"]
        return answer

    def told_now(self) -> Source:
        return source("zerodha", account([holding(INFY, 10)], funds=funds()))

    def told_before(self) -> Source:
        """Its shares came just now, and its funds half an hour ago."""
        old = account([holding(INFY, 10)], funds=funds())
        return source("zerodha", old, funds_as_of=NOW - timedelta(minutes=30))

    def last_row(self, told: dict[str, Any]) -> str:
        return str(book_export.tables_of(told)["funds"].rows[-1]["broker_name"])

    def headline(self, told: dict[str, Any]) -> str:
        return sheets(book_export.workbook_of(told))["coverage"][0][0][1]

    def test_all_is_all_where_every_account_tells_its_own(self) -> None:
        told = self.told(self.told_now())
        assert book_export.missing_in(told) == []
        assert (self.last_row(told), self.headline(told).split(":")[0]) == ("All", "Complete")

    def test_a_margin_that_is_not_known_is_said(self) -> None:
        told = self.told(self.told_now(), source("groww", account([holding(INFY, 10)])))
        assert book_export.missing_in(told) == [
            "INCOMPLETE: The margin at Groww 1 is not known.",
            "NOTE: The cash at Groww 1 is not known.",
        ]
        assert (self.last_row(told), self.headline(told)) == ("All that is known", "INCOMPLETE")

    def test_so_is_one_that_is_of_before(self) -> None:
        told = self.told(self.told_before())
        (words,) = book_export.missing_in(told)
        assert words.startswith("INCOMPLETE: The margin and cash at Zerodha 1 are of 2026-11-23T04:30:00")
        assert (self.last_row(told), self.headline(told)) == ("All that is known", "INCOMPLETE")

    def test_one_that_is_older_than_its_silent_account_is_said_beside_it(self) -> None:
        old = account([holding(INFY, 10)], funds=funds(), age=300)
        silent = source("zerodha", old, state=SourceState.STALE, funds_as_of=NOW - timedelta(minutes=30))
        answer, margin = book_export.missing_in(present(merged(silent)))
        assert answer.startswith("INCOMPLETE: The part of Zerodha 1 is of 2026-11-23T04:55:00")
        assert margin.startswith("INCOMPLETE: The margin and cash at Zerodha 1 are of 2026-11-23T04:30:00")

    def test_cash_and_loans_that_are_not_known_are_noted(self) -> None:
        owing = holding(SBIN, 20, symbol="SBIN", product=Product.MTF, funded_amount=None)
        told = self.told(source("zerodha", account([owing], funds=funds(cash=None))))
        assert book_export.missing_in(told) == [
            "NOTE: The cash at Zerodha 1 is not known.",
            "NOTE: MTF holdings whose loan is not known: 1.",
        ]
        assert self.last_row(told) == "All that is known"


class TestPages:
    def test_the_file_is_what_the_api_answers(self, as_alice: Client, alices: object) -> None:
        with time_machine.travel(timezone.now(), tick=False):
            answer = as_alice.get(CSV)
            today = timezone.localdate().isoformat()
        told = as_alice.get(CONSOLIDATED).json()
        assert answer["Content-Type"] == "text/csv; charset=utf-8"
        assert answer["Content-Disposition"] == f'attachment; filename="trademaster-holdings-{today}.csv"'
        lines = answer.content.decode().splitlines(keepends=True)
        rows = rows_of("".join(line for line in lines if "NOTE: " not in line))
        assert told["complete"]
        assert [row["current_value"] for row in rows] == [each["current_value"] for each in told["positions"]]

    @pytest.mark.parametrize("table", book_export.TABLES)
    def test_each_table_can_be_had_alone(self, as_alice: Client, alices: object, table: str) -> None:
        answer = as_alice.get(CSV, {"table": table})
        assert f"trademaster-{table}-" in answer["Content-Disposition"]

    @pytest.mark.parametrize("table", ["orders", "../x"])
    def test_a_table_that_there_is_not_is_not_found(self, as_alice: Client, alices: object, table: str) -> None:
        assert as_alice.get(CSV, {"table": table}).status_code == 404

    def test_the_workbook_has_a_sheet_for_each(self, as_alice: Client, alices: object) -> None:
        answer = as_alice.get(XLSX)
        assert list(sheets(answer.content)) == ["coverage", *book_export.TABLES]
        assert ".xlsx" in answer["Content-Disposition"]

    def test_a_broker_that_is_out_is_told_of(
        self, as_alice: Client, alice: User, alices: object, control: Control
    ) -> None:
        services.refresh(alice, now=timezone.now())
        control.set_fault("upstox", "down")
        services.refresh(alice, now=timezone.now())
        first = as_alice.get(CSV).content.decode().splitlines()[0]
        assert first.startswith("INCOMPLETE: ")
        assert "Upstox" in first

    @pytest.mark.parametrize("path", [CSV, XLSX])
    def test_nobody_else_has_any_of_it(
        self, client: Client, as_mallory: Client, as_sam: Client, alices: object, path: str
    ) -> None:
        assert client.get(path)["Location"].startswith("/login")
        assert as_mallory.get(path)["Location"] == "/connect"
        assert as_sam.get(path)["Location"] == "/admin/"
        assert as_mallory.post(path).status_code in (403, 405)
