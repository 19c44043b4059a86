"""Readers of master files: row by row, and never a part of a file for the whole."""

from __future__ import annotations

import gzip
import io
import json
from contextlib import suppress
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from brokers import registry
from brokers.masters import PIECE, BrokenMaster, csv_rows, json_rows, lines_of_text
from brokers.upstox.instruments import master_rows as upstox_rows

TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=20)
OBJECTS = st.lists(st.dictionaries(TEXT, TEXT | st.integers() | st.none(), max_size=4), max_size=6)


def file(content: str | bytes) -> io.BytesIO:
    return io.BytesIO(content if isinstance(content, bytes) else content.encode())


@given(OBJECTS, st.sampled_from([None, 2]), st.booleans())
def test_a_json_array_comes_out_as_it_went_in(
    rows: list[dict[str, object]], indent: int | None, ascii_only: bool
) -> None:
    written = json.dumps(rows, indent=indent, ensure_ascii=ascii_only)
    assert list(json_rows(file(written))) == rows


@given(st.dictionaries(TEXT, st.dictionaries(TEXT, TEXT, max_size=3), max_size=5))
def test_of_a_json_object_the_values_come_out(rows: dict[str, dict[str, str]]) -> None:
    assert list(json_rows(file(json.dumps(rows)))) == list(rows.values())


@given(OBJECTS.filter(bool), st.data())
def test_json_that_breaks_off_anywhere_is_broken(rows: list[dict[str, object]], data: st.DataObject) -> None:
    written = json.dumps(rows).encode()
    cut = data.draw(st.integers(min_value=0, max_value=len(written) - 1))
    with pytest.raises(BrokenMaster):
        list(json_rows(file(written[:cut])))


@given(st.binary(max_size=60))
def test_garbage_is_broken_and_nothing_worse(content: bytes) -> None:
    for reader in (json_rows, csv_rows, upstox_rows, lambda each: lines_of_text(each, "result")):
        with suppress(BrokenMaster):
            assert isinstance(list(reader(file(content))), list)


def test_numbers_stay_exact_and_rows_may_lie_across_pieces() -> None:
    rows = [{"tick": 0.05, "name": "₹" * 400, "number": number} for number in range(2000)]
    written = json.dumps(rows, ensure_ascii=False)
    assert len(written) > 2 * PIECE
    read = list(json_rows(file(written)))
    assert [row["number"] for row in read] == list(range(2000))
    assert {row["tick"] for row in read} == {Decimal("0.05")}
    assert {row["name"] for row in read} == {"₹" * 400}


@pytest.mark.parametrize("content", ["[1, 2]", '[{"a": 1}, "b"]'])
def test_what_is_no_object_is_a_row_that_nobody_can_read(content: str) -> None:
    assert {} in list(json_rows(file(content + " " * 10)))


@pytest.mark.parametrize("content", ['{"a": 1', "[{} {}]", '{"a" {}}', "", "null", '[{"a": NaN,}]', "[" * 20_000])
def test_what_is_no_master_is_broken(content: str) -> None:
    with pytest.raises(BrokenMaster):
        list(json_rows(file(content)))


def test_a_row_without_an_end_is_not_read_for_ever() -> None:
    with pytest.raises(BrokenMaster, match="does not end"):
        list(json_rows(file('[{"a": "' + "x" * 3_000_000)))


def test_lines_of_csv_by_the_names_of_the_first() -> None:
    assert list(csv_rows(file('symbol,name\nM&M,"Mahindra, and ""M"""\n\nINFY,Infosys'))) == [
        {"symbol": "M&M", "name": 'Mahindra, and "M"'},
        {"symbol": "INFY", "name": "Infosys"},
    ]


def test_a_short_line_of_csv_is_a_bad_row_and_at_the_end_a_broken_file() -> None:
    assert list(csv_rows(file("a,b\n1\n3,4\n"))) == [{}, {"a": "3", "b": "4"}]
    with pytest.raises(BrokenMaster, match="breaks off"):
        list(csv_rows(file("a,b\n1,2\n3")))


@given(st.lists(TEXT.filter(lambda line: line.strip("\n") == line and "\n" not in line and line != ""), max_size=6))
def test_the_lines_of_one_long_string(lines: list[str]) -> None:
    written = json.dumps({"type": "success", "result": "\n".join(lines), "more": "x"})
    assert list(lines_of_text(file(written), "result")) == lines


def test_a_long_string_that_breaks_off_is_broken() -> None:
    written = json.dumps({"result": "one|two\nthree|four"})
    with pytest.raises(BrokenMaster):
        list(lines_of_text(file(written[:-6]), "result"))
    with pytest.raises(BrokenMaster):
        list(lines_of_text(file('{"type":"error","description":"no"}'), "result"))


def test_a_compressed_file_that_breaks_off_is_broken() -> None:
    whole = gzip.compress(json.dumps([{"a": number} for number in range(5000)]).encode())
    assert len(list(upstox_rows(file(whole)))) == 5000
    with pytest.raises(BrokenMaster):
        list(upstox_rows(file(whole[: len(whole) // 2])))
    with pytest.raises(BrokenMaster):
        list(upstox_rows(file(b"<html>not compressed</html>")))


@pytest.mark.parametrize("slug", registry.slugs())
def test_every_broker_says_where_its_master_is_and_reads_it(slug: str) -> None:
    broker = registry.load(slug)
    assert broker.spec.master is not None
    assert broker.spec.master.files
    assert all(each.path.startswith("/") for each in broker.spec.master.files)
    assert broker.spec.master.base_url is None or broker.spec.master.base_url.startswith("https://")
    assert broker.master_rows is not None
    assert broker.instrument is not None
