from django.urls import path
from rest_framework.routers import SimpleRouter

from brokers import views

router = SimpleRouter(trailing_slash=False, use_regex_path=False)
router.register("brokers/connect", views.ConnectView, basename="connect")
router.register("brokers/connections", views.ConnectionViewSet, basename="connection")

urlpatterns = [
    path("brokers", views.BrokerList.as_view(), name="broker-list"),
    path("brokers/apps/<str:broker_type>", views.AppView.as_view(), name="broker-app"),
    path("brokers/consent", views.ConsentView.as_view(), name="consent"),
    path("brokers/grants", views.GrantsView.as_view(), name="grants"),
    path("brokers/grants/<uuid:id>", views.GrantView.as_view(), name="grant"),
    path("brokers/logins", views.MorningView.as_view(), name="morning-logins"),
    path("brokers/logins/reminder", views.ReminderView.as_view(), name="login-reminder"),
    *router.urls,
]
