"""`manage.py examples`: what it prints, and when it ends with an error."""

import json
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

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
