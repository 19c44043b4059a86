"""Every address of the house."""

from django.contrib import admin
from django.urls import URLPattern, URLResolver, include, path, re_path
from django.views.decorators.http import require_safe
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView

from brokers.views import login_form, oauth_callback, receive_postback
from health.views import live, ready, status
from orders import halt_pages
from trademaster import installable, pages, shell_pages
from trademaster.account_views import DeleteView, ExportView
from trademaster.api import unknown_route
from trademaster.attention.views import AttentionView
from trademaster.book_pages import book_csv, book_xlsx
from trademaster.connect_pages import connect, connect_broker
from trademaster.health_pages import broker_health, brokers_health
from trademaster.order_pages import order, orders, orders_csv

api: list[URLPattern | URLResolver] = [
    path("", include("portfolio.urls")),
    path("risk/", include("portfolio.risk_urls")),
    path("risk/", include("orders.halt_urls")),
    path("risk/", include("portfolio.risk_report_urls")),
    path("", include("market.urls")),
    path("", include("brokers.urls")),
    path("", include("brokers.alert_urls")),
    path("", include("orders.urls")),
    path("", include("orders.charge_urls")),
    path("", include("health.urls")),
    path("", include("accounts.audit_urls")),
    path("attention", AttentionView.as_view(), name="attention"),
    path("account/export", ExportView.as_view(), name="account-export"),
    path("account/delete", DeleteView.as_view(), name="account-delete"),
    path("", include("accounts.api_urls")),
]

urlpatterns = [
    path("", pages.dashboard, name="dashboard"),
    path("connect", connect, name="connect"),
    path("connect/<str:slug>", connect_broker, name="connect-broker"),
    path("logins", pages.logins, name="logins"),
    path("kill-switch", halt_pages.kill_switch, name="kill-switch"),
    path("kill-switch/re-arm", halt_pages.rearm, name="kill-switch-re-arm"),
    path("risk/", pages.risk, name="risk"),
    path("plain", shell_pages.plain, name="plain"),
    path("strip", shell_pages.strip, name="strip"),
    path("help", shell_pages.help_page, name="help"),
    path("manifest.webmanifest", installable.manifest, name="manifest"),
    path("sw.js", installable.service_worker, name="service-worker"),
    path("offline", installable.offline, name="offline"),
    path("", include("accounts.urls")),
    path("", include("trademaster.settings_pages.urls")),
    path("brokers/callback/<str:broker_type>", oauth_callback, name="oauth-callback"),
    path("brokers/login/<str:broker_type>", login_form, name="broker-login"),
    path("brokers/health/", brokers_health, name="brokers-health"),
    path("brokers/health/<str:slug>/", broker_health, name="broker-health"),
    path("brokers/postback/<path:secret>", receive_postback, name="broker-postback"),
    path("api/v1/", include(api)),
    path("api/schema", SpectacularAPIView.as_view(), name="schema"),
    path(
        "api/docs",
        # It could not answer OPTIONS, having no page for that.
        require_safe(SpectacularSwaggerSplitView.as_view(url_name="schema", template_name="swagger.html")),
        name="api-docs",
    ),
    re_path(r"^api/.*$", unknown_route),
    path("status", status, name="status"),
    path("portfolio/export.csv", book_csv, name="book-csv"),
    path("portfolio/export.xlsx", book_xlsx, name="book-xlsx"),
    path("demo/", include("trademaster.demo.urls")),
    path("orders/", orders, name="orders-page"),
    path("orders/export.csv", orders_csv, name="orders-csv"),
    path("orders/<uuid:id>/", order, name="order-page"),
    path("health/live", live, name="live"),
    path("health/ready", ready, name="ready"),
    path("admin/", admin.site.urls),
]

handler500 = pages.server_error
