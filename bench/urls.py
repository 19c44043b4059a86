"""The real addresses, and one behind the same login, role check, throttle and renderer that has nothing to do."""

from django.urls import path
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from trademaster.urls import urlpatterns as real


class Empty(APIView):
    schema = None

    def get(self, request: Request) -> Response:
        return Response({})


urlpatterns = [path("bench/empty", Empty.as_view()), *real]
