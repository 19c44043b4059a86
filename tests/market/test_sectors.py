"""Which sector a company is in: seeded, loaded, and never guessed."""

from __future__ import annotations

from datetime import date
from io import StringIO
from pathlib import Path

import pytest
import time_machine
from django.core.management import CommandError, call_command
from pytest_django import DjangoAssertNumQueries

from market.candle_models import Sector
from market.identity import is_isin
from market.sectors import sector_of, seed_sectors
from tests.market.candle_teller import INFY, RELIANCE, TCS

HEAD = "Company Name,Industry,Symbol,Series,ISIN Code\n"
NEW = "INE001A01036"  # not among those of the data file

pytestmark = pytest.mark.django_db


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "ind_nifty500list.csv"


def load(file: Path, content: str | bytes, **options: object) -> str:
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    output = StringIO()
    call_command("load_sectors", str(file), stdout=output, **options)
    return output.getvalue().strip()


class TestTheSeed:
    def test_a_new_installation_knows_the_large_ones(self) -> None:
        assert sector_of([RELIANCE, TCS, NEW]) == {
            RELIANCE: "Oil Gas & Consumable Fuels",
            TCS: "Information Technology",
            NEW: None,
        }
        assert all(is_isin(isin) for isin in Sector.objects.values_list("isin", flat=True))
        assert Sector.objects.count() == 73

    def test_it_takes_nothing_back(self) -> None:
        Sector.objects.filter(isin=TCS).update(sector="Software", source="a list")
        Sector.objects.filter(isin=INFY).delete()
        seed_sectors()
        assert sector_of([TCS, INFY]) == {TCS: "Software", INFY: "Information Technology"}

    def test_many_are_one_query(self, django_assert_num_queries: DjangoAssertNumQueries) -> None:
        with django_assert_num_queries(1):
            sector_of([RELIANCE, TCS, INFY, NEW])


class TestTheExchangesList:
    def test_it_is_taken_over_whole(self, file: Path) -> None:
        content = (
            "\ufeffCompany Name, Industry ,Symbol,Series,ISIN Code\r\n"
            f'"HDFC, Ltd.",Financial  Services,HDFC,EQ,{NEW}\r\n'
            f"Tata Consultancy,Software,TCS,EQ,{TCS}\r\n"
            f"Infosys,Information Technology,INFY,EQ,{INFY.lower()}\r\n"
        )
        assert load(file, content, as_of=date(2026, 9, 30)) == "1 new, 1 changed, 1 as they were"
        assert sector_of([NEW, TCS, INFY, RELIANCE]) == {
            NEW: "Financial Services",
            TCS: "Software",
            INFY: "Information Technology",
            RELIANCE: "Oil Gas & Consumable Fuels",
        }
        row = Sector.objects.get(isin=INFY)
        assert (row.source, row.as_of) == ("ind_nifty500list.csv", date(2026, 9, 30))

    @time_machine.travel("2026-11-26T18:29:59.999Z", tick=False)
    def test_an_older_list_changes_nothing_that_is_newer(self, file: Path) -> None:
        load(file, f"{HEAD}Tata,Software,TCS,EQ,{TCS}\n", source="NSE")
        assert (
            load(file, f"{HEAD}Tata,Tea,TCS,EQ,{TCS}\n", as_of=date(2020, 1, 1)) == "0 new, 0 changed, 1 as they were"
        )
        assert Sector.objects.get(isin=TCS).sector == "Software"
        assert Sector.objects.get(isin=TCS).as_of == date(2026, 11, 26)

    @pytest.mark.parametrize(
        ("content", "words"),
        [
            ("", "must name the columns Company Name, Industry, Symbol, Series, ISIN Code; without Company Name"),
            ("ISIN Code,Industry\n", "without Company Name, Symbol, Series."),
            (HEAD, "The file names no company."),
            (b"\xff\xfe" + HEAD.encode("utf-16-le"), "is no text in UTF-8"),
            (f"{HEAD}A,Steel,A,EQ,INE002A01019\n", "Line 2: 'INE002A01019' is no ISIN."),
            (f"{HEAD}A,Steel,A,EQ\n", "Line 2: '' is no ISIN."),
            (f"{HEAD}A, ,A,EQ,{NEW}\n", f"Line 2: {NEW} has no industry."),
            (f"{HEAD}A,{'x' * 81},A,EQ,{NEW}\n", f"Line 2: the industry of {NEW} has more than 80 letters."),
            (
                f"{HEAD}A,Steel,A,EQ,{NEW}\nA,Tea,A,EQ,{NEW}\n",
                f"Line 3: {NEW} stands there before, in another industry.",
            ),
        ],
    )
    def test_a_wrong_file_changes_nothing_and_says_why(self, file: Path, content: str | bytes, words: str) -> None:
        before = list(Sector.objects.values_list())
        with pytest.raises(CommandError) as refused:
            load(file, content)
        assert "Nothing was changed." in str(refused.value)
        assert words in str(refused.value)
        assert list(Sector.objects.values_list()) == before

    def test_one_wrong_line_refuses_the_right_ones_and_not_all_are_listed(self, file: Path) -> None:
        wrong = "".join(f"A,Steel,A,EQ,wrong{n}\n" for n in range(9))
        with pytest.raises(CommandError) as refused:
            load(file, f"{HEAD}A,Steel,A,EQ,{NEW}\n{wrong}")
        assert str(refused.value).count("Line ") == 5
        assert sector_of([NEW]) == {NEW: None}

    def test_the_same_line_twice_is_one(self, file: Path) -> None:
        assert load(file, f"{HEAD}{2 * f'A,Steel,A,EQ,{NEW}{chr(10)}'}") == "1 new, 0 changed, 0 as they were"

    def test_a_file_that_is_not_there(self, tmp_path: Path) -> None:
        with pytest.raises(CommandError, match="cannot be read: No such file"):
            call_command("load_sectors", str(tmp_path / "nowhere.csv"))

    def test_a_list_of_tomorrow(self, file: Path) -> None:
        with pytest.raises(CommandError, match="is yet to come"):
            load(file, f"{HEAD}A,Steel,A,EQ,{NEW}\n", as_of=date(2099, 1, 1))
