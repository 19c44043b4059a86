from django.urls import path

from accounts.audit_views import AuditView

urlpatterns = [path("audit", AuditView.as_view(), name="audit")]
