"""`manage.py examples`: what it prints, and when it ends with an error."""

import json
from decimal import Decimal
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from orders.examples import risk_case, run, seed_rates
from portfolio.risk.errors import TooFewDays
from portfolio.risk.examples import KINDS

FILE = Path(__file__).parents[1] / "fixtures" / "orders" / "charges_examples.json"


def test_every_example_is_printed_with_what_was_expected_and_what_came_out(capsys):
    call_command("examples", "charges", str(FILE))
    printed = capsys.readouterr().out

    assert "C01 ok  Zerodha delivery buy, NSE" in printed
    assert "    total: expected 118.74, got 118.74" in printed
    assert "16 examples, none differs." in printed


def test_a_difference_is_shown_and_ends_the_command(tmp_path, capsys):
    document = json.loads(FILE.read_text())
    document["examples"][1]["expected"]["dp"] = "15.93"
    document["examples"][2]["input"]["broker"] = "nobody"
    (tmp_path / "wrong.json").write_text(json.dumps(document))

    with pytest.raises(CommandError, match="2 of 16 examples differ: C02, C03"):
        call_command("examples", "charges", str(tmp_path / "wrong.json"))
    printed = capsys.readouterr().out
    assert "dp: expected 15.93, got 13.00  <-- differs" in printed
    assert "error: expected None, got plan_missing" in printed


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "No such file"),
        ("{", "is no JSON"),
        ("[]", "no list named examples"),
        ('{"examples": []}', "no example at all"),
        ('{"examples": [{"id": "X9", "input": {}, "expected": {}}]}', "X9 cannot be read: KeyError 'broker'"),
    ],
)
def test_a_broken_file_is_named(tmp_path, text, words):
    path = tmp_path / "file.json"
    if text is not None:
        path.write_text(text)

    with pytest.raises(CommandError, match=words):
        call_command("examples", "charges", str(path))


def an_example(expected, *, kind="K", tolerance=Decimal("0.001")):
    return {"id": "K99", "title": "made up", "kind": kind, "input": {}, "expected": expected, "tolerance": tolerance}


def judged(monkeypatch, expected, got):
    monkeypatch.setitem(KINDS, "K", lambda given: got)
    return run(risk_case, an_example(expected), seed_rates()).differs


class TestRisk:
    @pytest.mark.parametrize(
        ("expected", "got", "differs"),
        [
            ({"var": Decimal("1.5")}, {"var": 1.5009}, ()),
            ({"var": Decimal("1.5")}, {"var": 1.5011}, ("var",)),
            ({"var": Decimal("1.5")}, {"var": float("nan")}, ("var",)),
            ({"var": Decimal("1.5")}, {"var": None}, ("var",)),
            ({"var": None}, {"var": 0.0}, ("var",)),
            ({"var": None}, {"var": None}, ()),
            ({"var": 0}, {}, ("var",)),
            ({"by": {"fyers": {"var": 1}}}, {"by": {"fyers": {"var": 2}}}, ("by.fyers.var",)),
            ({"by": {"fyers": {"var": 1}}}, {"by": {}}, ("by.fyers.var",)),
            ([{"name": "a", "pnl": 1}], ({"name": "b", "pnl": 1.0},), ("0.name",)),
            ([1, 2], [1, 2, 3], ("length",)),
            ([1, 2], [1], ("length", "1")),
            ([], [0], ("length",)),
            ({}, {"var": 1}, ("",)),
        ],
    )
    def test_everything_that_is_expected_is_compared(self, monkeypatch, expected, got, differs):
        assert judged(monkeypatch, expected, got) == differs

    @pytest.mark.parametrize(
        ("expected", "got", "agrees"),
        [
            ("17101.9689", 17101.96886, True),  # in every digit that is written
            ("17101.9689", 17101.9688, False),
            ("1.0", 1.00005, False),  # short, and small: the tolerance is enough
        ],
    )
    def test_a_large_number_that_is_written_short_agrees_in_its_digits(self, monkeypatch, expected, got, agrees):
        monkeypatch.setitem(KINDS, "K", lambda given: {"var": got})
        example = an_example({"var": Decimal(expected)}, tolerance=Decimal("0.000001"))

        assert run(risk_case, example, seed_rates()).differs == (() if agrees else ("var",))

    def test_a_kind_that_nothing_computes_differs(self):
        case = run(risk_case, an_example({"var": 1}, kind="tea_leaves"), seed_rates())

        assert case.differs == ("error",)
        assert case.got == {"error": "kind_unknown: nothing computes tea_leaves."}

    def test_what_the_engine_refuses_differs(self, monkeypatch):
        def refuse(given):
            raise TooFewDays(days=3, needed=100)

        monkeypatch.setitem(KINDS, "K", refuse)
        case = run(risk_case, an_example({"var": 1}), seed_rates())

        assert case.differs == ("error",)
        assert case.got["error"].startswith("too_few_days: 3 days")


def test_every_worked_example_of_risk_comes_out(capsys: pytest.CaptureFixture[str]) -> None:
    call_command("examples", "risk", "tests/fixtures/risk/risk_examples.json")
    assert "11 examples, none differs." in capsys.readouterr().out
