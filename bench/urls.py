"""The real addresses, and two more: a view behind the same login, role check, throttle and renderer that has nothing to
do, and one that tells how many threads the process has, without asking the database."""

import threading

from django.http import HttpRequest, JsonResponse
from django.urls import path
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from trademaster.urls import urlpatterns as real


class Empty(APIView):
    schema = None

    def get(self, request: Request) -> Response:
        return Response({})


def threads(request: HttpRequest) -> JsonResponse:
    return JsonResponse({"threads": threading.active_count()})


urlpatterns = [path("bench/empty", Empty.as_view()), path("bench/threads", threads), *real]
