"""Alerts, under /api/v1/account/alerts/."""

from django.urls import path

from brokers import alert_views as views

urlpatterns = [
    path("account/alerts/routes", views.RoutesView.as_view(), name="alert-routes"),
    path("account/alerts/routes/<uuid:id>", views.RouteView.as_view(), name="alert-route"),
    path("account/alerts/routes/<uuid:id>/test", views.RouteTestView.as_view(), name="alert-route-test"),
    path("account/alerts/deliveries", views.DeliveriesView.as_view(), name="alert-deliveries"),
]
