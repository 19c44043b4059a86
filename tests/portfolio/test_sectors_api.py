"""GET /portfolio/sectors: of one's own shares alone, and null where nobody told."""

from __future__ import annotations

from django.test import Client

from market.candle_models import Sector

PATH = "/api/v1/portfolio/sectors"


def test_each_share_of_the_book_has_its_sector_or_null(as_alice: Client, alices: object) -> None:
    book = as_alice.get("/api/v1/brokers/portfolio/consolidated").json()
    held = {position["isin"] for position in book["positions"]}
    named, *_ = sorted(held)
    Sector.objects.filter(isin__in=held).delete()
    Sector.objects.create(isin=named, sector="Test Sector", source="a test", as_of="2026-11-01")

    sectors = as_alice.get(PATH).json()["sectors"]

    assert sectors == {isin: "Test Sector" if isin == named else None for isin in held}


def test_whoever_has_no_connection_is_told_so(as_mallory: Client, alices: object) -> None:
    answer = as_mallory.get(PATH)
    assert answer.status_code == 404
    assert answer.json()["error"]["code"] == "no_broker_connections"
