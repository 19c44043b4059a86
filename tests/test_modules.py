"""The hints of a page name every module that its own ones import, and nothing that is not there."""

from pathlib import Path

import pytest
from django.contrib.staticfiles import finders
from django.template import Context, Template

from trademaster.modules import closure, imports_of

STATIC = Path(__file__).resolve().parents[1] / "trademaster" / "static" / "trademaster"
OURS = sorted(f"trademaster/{path.name}" for path in STATIC.glob("*.js"))


@pytest.mark.parametrize("address", OURS)
def test_every_import_of_a_module_is_seen(address: str) -> None:
    written = (STATIC.parent / address).read_text()
    assert len(imports_of(address)) == written.count('from "./') + written.count('import "./')
    assert all(finders.find(each) for each in closure(address))


def test_a_page_asks_for_all_of_them_at_once() -> None:
    html = Template('{% load modules %}{% modules "trademaster/dashboard.js" %}').render(Context())
    assert html.count('rel="modulepreload"') == len(closure("trademaster/dashboard.js")) - 1
    assert html.count("<script") == 1


def test_a_module_that_is_not_there_is_an_error() -> None:
    with pytest.raises(FileNotFoundError):
        closure("trademaster/nowhere.js")
