"""The API's front door, under /api/v1/auth/."""

from django.urls import path

from accounts import api_views as views

urlpatterns = [
    path("auth/login", views.LoginView.as_view(), name="api-login"),
    path("auth/refresh", views.RefreshView.as_view(), name="api-refresh"),
    path("auth/logout", views.LogoutView.as_view(), name="api-logout"),
    path("auth/step-up", views.StepUpView.as_view(), name="api-step-up"),
    path("auth/sessions", views.SessionsView.as_view(), name="api-sessions"),
    path("auth/sessions/<uuid:id>", views.SessionView.as_view(), name="api-session"),
    path("auth/tokens", views.TokensView.as_view(), name="api-tokens"),
    path("auth/tokens/<int:id>", views.TokenView.as_view(), name="api-token"),
    path("auth/ticket", views.TicketView.as_view(), name="api-ticket"),
]
