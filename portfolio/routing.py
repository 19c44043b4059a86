from django.urls import path, re_path

from portfolio.consumers import Nowhere, PortfolioConsumer

websocket_urlpatterns = [
    path("ws/portfolio/", PortfolioConsumer.as_asgi()),  # type: ignore[arg-type]
    re_path("", Nowhere.as_asgi()),  # type: ignore[arg-type]
]
# Behind the ticket door: see trademaster.asgi.
api_websocket_urlpatterns = [
    path("ws/api/portfolio/", PortfolioConsumer.as_asgi()),  # type: ignore[arg-type]
    re_path("", Nowhere.as_asgi()),  # type: ignore[arg-type]
]
