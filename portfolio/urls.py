from django.urls import path

from portfolio.views import ConsolidatedView

urlpatterns = [path("brokers/portfolio/consolidated", ConsolidatedView.as_view(), name="consolidated")]
