"""Risk over HTTP, under /api/v1/risk/."""

from django.urls import URLPattern, path

from portfolio import limit_views

urlpatterns: list[URLPattern] = [
    path("limits", limit_views.LimitsView.as_view(), name="risk-limits"),
    path("limits/<int:id>", limit_views.LimitView.as_view(), name="risk-limit"),
    path("breaches", limit_views.BreachesView.as_view(), name="risk-breaches"),
    path("breaches/<int:id>/acknowledge", limit_views.AcknowledgeView.as_view(), name="risk-breach-acknowledge"),
]
