"""The library of charts: one script is served, nothing beside it, and pages do without it where it is missing."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.contrib.staticfiles import finders
from django.template import Context, Template

from trademaster import charts, checks
from trademaster.charts import ChartFinder

TAG = "{% load charts %}{% chart_library %}"


def test_the_script_is_found_and_collected() -> None:
    assert Path(str(finders.find("charts/lightweight-charts.js"))).read_text()[:60].count("@license") == 1
    assert [(name, storage.prefix) for name, storage in ChartFinder().list([])] == [  # type: ignore[attr-defined]
        ("lightweight-charts.js", "charts")
    ]
    assert Template(TAG).render(Context()) == "/static/charts/lightweight-charts.js"


@pytest.mark.parametrize("path", ["charts/bundle.js", "charts/index.html", "charts/../js/bundle.js", "charts/"])
def test_nothing_beside_it_is(path: str) -> None:
    assert (charts.DIRECTORY / "bundle.js").exists()
    assert ChartFinder().find(path) == []
    assert ChartFinder().find(path, find_all=True) == []


def test_where_it_is_missing_the_check_says_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert checks.charts_can_be_drawn(None) == []
    monkeypatch.setattr(charts, "DIRECTORY", tmp_path)
    (warning,) = checks.charts_can_be_drawn(None)
    assert warning.id == "trademaster.W002"
    assert "make setup" in str(warning.hint)
    assert Template(TAG).render(Context()) == ""
    assert list(ChartFinder().list([])) == []
