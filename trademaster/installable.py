"""The dashboard as an app of its own: a manifest, and a worker that knows one page, for when we cannot be reached.

Nothing of a trader is ever kept in the browser.
"""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.template.loader import render_to_string
from django.templatetags.static import static
from django.urls import reverse
from django.views.decorators.cache import cache_control
from django.views.decorators.http import require_safe

COLOUR = "#1f4fd8"
A_DAY = 86_400


@require_safe
@cache_control(public=True, max_age=A_DAY)
def manifest(request: HttpRequest) -> JsonResponse:
    icon = {"src": static("trademaster/icon.svg"), "type": "image/svg+xml", "sizes": "any"}
    document = {
        "name": "TradeMaster",
        "short_name": "TradeMaster",
        "description": "One portfolio over all your brokers.",
        "id": "/",
        "start_url": reverse("dashboard"),
        "scope": "/",
        "display": "standalone",
        "lang": "en-IN",
        "background_color": "#0d1117",
        "theme_color": COLOUR,
        "icons": [{**icon, "purpose": "any"}, {**icon, "purpose": "maskable"}],
        "shortcuts": [
            {"name": "Orders", "url": reverse("orders-page")},
            {"name": "Morning login", "url": reverse("logins")},
        ],
    }
    return JsonResponse(document, content_type="application/manifest+json")


@require_safe
def service_worker(request: HttpRequest) -> HttpResponse:
    """At the root, because a worker serves only what lies beside it or below."""
    answer = HttpResponse(render_to_string("sw.js"), content_type="text/javascript; charset=utf-8")
    answer["Cache-Control"] = "no-cache"
    return answer


@require_safe
def offline(request: HttpRequest) -> HttpResponse:
    """The same for everybody: it is kept by browsers."""
    return HttpResponse(render_to_string("offline.html"))
