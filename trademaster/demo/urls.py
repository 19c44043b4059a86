from django.urls import path

from trademaster.demo import views

urlpatterns = [
    path("", views.demo, name="demo"),
    path("panel", views.panel, name="demo-panel"),
    path("first-run", views.checklist, name="demo-first-run"),
    path("do", views.turn, name="demo-do"),
    path("checklist", views.show_checklist, name="demo-checklist"),
    path("market", views.market, name="demo-market"),
]
