from django.urls import path

from accounts.views import AuditView

urlpatterns = [path("audit", AuditView.as_view(), name="audit")]
