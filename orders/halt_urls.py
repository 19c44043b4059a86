"""The kill switch, under /api/v1/risk/: it cancels, and so stands here and not below."""

from django.urls import path

from orders import halt_views

urlpatterns = [
    path("kill-switch", halt_views.KillSwitchView.as_view(), name="kill-switch-api"),
    path("kill-switch/re-arm", halt_views.RearmView.as_view(), name="kill-switch-re-arm-api"),
    path("halts", halt_views.HaltsView.as_view(), name="halts"),
]
