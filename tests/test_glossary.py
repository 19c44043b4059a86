"""Definitions of numbers: one each, a whole sentence, and none without a place that shows it."""

import re
from pathlib import Path

import pytest
from django.template import Context, Template

from trademaster.glossary import TERMS

TEMPLATES = Path(__file__).resolve().parents[1] / "templates"


@pytest.mark.parametrize("key", TERMS)
def test_a_meaning_is_a_whole_sentence(key: str) -> None:
    assert re.fullmatch(r"[A-Z].*[.]", TERMS[key].meaning)


def test_the_tooltip_is_an_attribute_that_cannot_be_left() -> None:
    rendered = Template('{% load glossary %}<b {% means "day_pnl" %}>').render(Context())
    assert rendered.startswith('<b title="What shares and positions gained')


def test_every_term_that_a_template_names_is_defined() -> None:
    named = {
        key for path in TEMPLATES.rglob("*.html") for key in re.findall(r'\{% means "(\w+)" %\}', path.read_text())
    }
    assert named <= TERMS.keys()
