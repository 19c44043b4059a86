"""The merged book to take along: as text, and as a workbook."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils import timezone
from django.views.decorators.http import require_safe

from accounts.models import User
from brokers.wire import IST
from portfolio import book_export, services

XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"


@require_safe
@login_required
def book_csv(request: HttpRequest) -> HttpResponse:
    """/portfolio/export.csv?table=holdings, or another of the tables; holdings where none is named."""
    table = request.GET.get("table") or "holdings"
    if table not in book_export.TABLES:
        raise Http404

    def rendered(book: dict[str, Any]) -> bytes:
        tables = book_export.tables_of(book)
        return book_export.csv_of(tables[table], book_export.missing_in(book)).encode()

    return _file(request, table, "csv", "text/csv; charset=utf-8", rendered)


@require_safe
@login_required
def book_xlsx(request: HttpRequest) -> HttpResponse:
    """/portfolio/export.xlsx: the whole book."""
    return _file(request, "portfolio", "xlsx", XLSX, book_export.workbook_of)


def _file(
    request: HttpRequest, name: str, ending: str, kind: str, rendered: Callable[[dict[str, Any]], bytes]
) -> HttpResponse:
    """Made of the answer that the API gives now. Whoever has no broker yet is led to where one is connected."""
    user = request.user
    if not isinstance(user, User) or not user.is_trader:
        return redirect("admin:index")
    now = timezone.now()
    try:
        book = msgspec.json.decode(services.consolidated(user, now=now).include)
    except services.NoBrokerConnections:
        return redirect("connect")
    answer = HttpResponse(rendered(book), content_type=kind)
    day = now.astimezone(IST).date().isoformat()
    answer["Content-Disposition"] = f'attachment; filename="trademaster-{name}-{day}.{ending}"'
    return answer
