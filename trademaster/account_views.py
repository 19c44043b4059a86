"""The account itself over HTTP: take it along, or end it. Both want a fresh proof that it is really they."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from functools import partial
from typing import IO, Any

from asgiref.sync import sync_to_async
from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest, StreamingHttpResponse
from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.models import User
from accounts.permissions import IsTrader, trader
from accounts.step_up import FreshlyProven
from accounts.throttles import PerUser
from trademaster import privacy
from trademaster.deletion import delete_account
from trademaster.export import export_account

CHUNK = 64 * 1024
UNPROVEN = OpenApiResponse(description="step_up_required")


class AccountThrottle(PerUser):
    """An archive costs much to make."""

    scope = "account"


class WipedAnswer(serializers.Serializer[Any]):
    what = serializers.CharField()
    words = serializers.CharField()


class KeptAnswer(WipedAnswer):
    why = serializers.CharField()
    days = serializers.IntegerField(allow_null=True, help_text="For how long; null: for good.")


class EndedAnswer(serializers.Serializer[Any]):
    broker_type = serializers.CharField()
    ended_at_broker = serializers.BooleanField(
        help_text="False: wiped here, but the broker did not confirm the end; it ends by itself, at the broker's hour."
    )


class DeletionAnswer(serializers.Serializer[Any]):
    deleted_at = serializers.DateTimeField(default_timezone=UTC)
    brokers = EndedAnswer(many=True)
    wiped = WipedAnswer(many=True)
    kept = KeptAnswer(many=True)


class ExportView(APIView):
    permission_classes = [IsTrader, FreshlyProven]
    throttle_classes = [AccountThrottle]

    @extend_schema(
        summary="Everything about my account, as a ZIP",
        request=None,
        responses={(200, "application/zip"): OpenApiTypes.BINARY, 403: UNPROVEN},
    )
    def post(self, request: Request) -> StreamingHttpResponse:
        return archive_of(trader(request), request._request, now=timezone.now())


class DeleteView(APIView):
    permission_classes = [IsTrader, FreshlyProven]
    throttle_classes = [AccountThrottle]

    @extend_schema(
        summary="Delete my account for good",
        description="Disconnects every broker, wipes personal data, and says what is kept, why and for how long.",
        request=None,
        responses={200: DeletionAnswer, 403: UNPROVEN},
    )
    def post(self, request: Request) -> Response:
        user = trader(request)
        deletion = delete_account(user, actor=user, now=timezone.now())
        request.session.flush()
        told = {"deleted_at": deletion.finished_at, "brokers": deletion.brokers}
        return Response(DeletionAnswer({**told, "wiped": privacy.wiped(), "kept": privacy.kept()}).data)


def archive_of(user: User, request: HttpRequest, *, now: datetime) -> StreamingHttpResponse:
    """The person's own data, to be saved as a file. Whoever calls has seen a fresh proof."""
    archive = export_account(user, actor=user, now=now)
    is_async = isinstance(request, ASGIRequest)
    answer = StreamingHttpResponse(_read_async(archive) if is_async else _read(archive), content_type="application/zip")
    answer["Content-Disposition"] = f'attachment; filename="trademaster-{now:%Y-%m-%d}.zip"'
    answer["Cache-Control"] = "no-store"
    return answer


def _read(file: IO[bytes]) -> Iterator[bytes]:
    with file:
        yield from iter(partial(file.read, CHUNK), b"")


async def _read_async(file: IO[bytes]) -> AsyncIterator[bytes]:
    """Piece by piece: an iterator that is not async would be read to its end before anything is sent."""
    with file:
        while chunk := await sync_to_async(file.read)(CHUNK):
            yield chunk
