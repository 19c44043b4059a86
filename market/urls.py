from django.urls import path

from market.views import InstrumentSearchView, InstrumentView, MarketStatusView

urlpatterns = [
    path("market/instruments", InstrumentSearchView.as_view(), name="instruments"),
    path("market/instruments/<int:pk>", InstrumentView.as_view(), name="instrument"),
    path("market/status", MarketStatusView.as_view(), name="market-status"),
]
