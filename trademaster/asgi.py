"""The web process: pages and API by Django, sockets by Channels, both behind the same session."""

import os

from channels.auth import AuthMiddlewareStack
from channels.routing import ProtocolTypeRouter, URLRouter
from channels.security.websocket import AllowedHostsOriginValidator
from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "trademaster.settings")
django_application = get_asgi_application()

from brokers import vault  # noqa: E402 - rooms can be entered only once Django is set up
from portfolio.routing import websocket_urlpatterns  # noqa: E402

vault.prove_keys()
# The stubs know only the paths of HTTP.
sockets = URLRouter(websocket_urlpatterns)  # type: ignore[arg-type]

application = ProtocolTypeRouter(
    {
        "http": django_application,
        "websocket": AllowedHostsOriginValidator(AuthMiddlewareStack(sockets)),
    }
)
