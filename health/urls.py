from django.urls import path

from health import views

urlpatterns = [
    path("health/brokers", views.BrokersView.as_view(), name="health-brokers"),
    path("health/brokers/<str:broker_type>/report", views.CardView.as_view(), name="health-report"),
    path("health/connections/<uuid:id>/timeline", views.TimelineView.as_view(), name="health-timeline"),
]
