from django.urls import path

from orders.charge_views import TermsView

urlpatterns = [path("charges/terms/<uuid:id>", TermsView.as_view(), name="charge-terms")]
