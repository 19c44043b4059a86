from django.urls import path

from portfolio.views import ConsolidatedView, SharedListView, SharedView

urlpatterns = [
    path("brokers/portfolio/consolidated", ConsolidatedView.as_view(), name="consolidated"),
    path("portfolio/shared", SharedListView.as_view(), name="shared-list"),
    path("portfolio/shared/<uuid:id>", SharedView.as_view(), name="shared"),
]
