"""Files as production serves them: collected once, and compressed beforehand."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.http import HttpResponse
from django.test import RequestFactory
from pytest_django import Settings
from whitenoise.middleware import WhiteNoiseMiddleware

# An answer that is closed looks after connections.
pytestmark = pytest.mark.django_db

SHEET = "trademaster/page.css"


@pytest.fixture
def served(settings: Settings, tmp_path: Path) -> WhiteNoiseMiddleware:
    settings.WHITENOISE_USE_FINDERS = False
    settings.STATIC_ROOT = tmp_path / "static"
    call_command("collectstatic", "--noinput", verbosity=0)
    return WhiteNoiseMiddleware(lambda request: HttpResponse(status=404))


def body(answer: Any) -> bytes:
    read = b"".join(answer.streaming_content)
    answer.close()
    return read


def test_a_browser_that_takes_gzip_gets_it(served: WhiteNoiseMiddleware, settings: Settings) -> None:
    request = RequestFactory().get(f"/static/{SHEET}", HTTP_ACCEPT_ENCODING="gzip")
    answer = served(request)
    sent = body(answer)
    written = (settings.STATIC_ROOT / SHEET).read_bytes()

    assert answer["Content-Encoding"] == "gzip"
    assert gzip.decompress(sent) == written
    assert len(sent) < len(written) / 2


def test_another_browser_gets_the_file_itself(served: WhiteNoiseMiddleware, settings: Settings) -> None:
    answer = served(RequestFactory().get(f"/static/{SHEET}"))

    assert "Content-Encoding" not in answer
    assert body(answer) == (settings.STATIC_ROOT / SHEET).read_bytes()
