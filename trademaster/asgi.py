"""The web process: pages and API by Django, sockets by Channels, both behind the same session."""

import os
from typing import Any

import django
from asgiref.sync import sync_to_async
from channels.auth import AuthMiddlewareStack
from channels.routing import ProtocolTypeRouter, URLRouter
from channels.security.websocket import OriginValidator
from django.conf import settings
from django.core.handlers.asgi import ASGIHandler
from django.http import HttpRequest
from django.http.response import HttpResponseBase

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "trademaster.settings")
django.setup(set_prefix=False)


class OneThreadPerRequest(ASGIHandler):
    """Runs a whole request in one thread.

    Our views are plain functions and so is WhiteNoise's middleware: left alone, Django hops between the loop and a
    thread at each of them, which costs a third of a small request's time.
    """

    def load_middleware(self, is_async: bool = False) -> None:
        super().load_middleware(is_async=False)

    async def get_response_async(self, request: HttpRequest) -> Any:
        answer: HttpResponseBase = await sync_to_async(self.get_response, thread_sensitive=True)(request)
        return answer


django_application = OneThreadPerRequest()

from accounts.ticket_door import TicketDoor  # noqa: E402
from brokers import vault  # noqa: E402 - rooms can be entered only once Django is set up
from portfolio import price_topic  # noqa: E402
from portfolio.routing import api_websocket_urlpatterns, websocket_urlpatterns  # noqa: E402
from trademaster.backpressure import patient  # noqa: E402

vault.prove_keys_or_exit()
price_topic.stand.open_feed = price_topic.open_streamed
# The stubs know only the paths of HTTP.
sockets = URLRouter(websocket_urlpatterns)  # type: ignore[arg-type]
of_browsers = OriginValidator(AuthMiddlewareStack(sockets), settings.WEBSOCKET_ORIGINS)
of_clients = TicketDoor(URLRouter(api_websocket_urlpatterns))  # type: ignore[arg-type]


async def two_doors(scope: Any, receive: Any, send: Any) -> None:
    """Browsers show a cookie and where they come from; API clients a ticket, and no cookie is looked at."""
    door = of_clients if scope["path"].startswith("/ws/api/") else of_browsers
    await door(scope, receive, send)


application = ProtocolTypeRouter(
    {
        "http": django_application,
        "websocket": patient(two_doors),
    }
)
