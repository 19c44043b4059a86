from django.urls import path

from market.views import IndicesView, InstrumentSearchView, InstrumentView, MarketStatusView, QuotesView

urlpatterns = [
    path("market/indices", IndicesView.as_view(), name="market-indices"),
    path("market/instruments", InstrumentSearchView.as_view(), name="instruments"),
    path("market/instruments/<int:pk>", InstrumentView.as_view(), name="instrument"),
    path("market/quotes", QuotesView.as_view(), name="quotes"),
    path("market/status", MarketStatusView.as_view(), name="market-status"),
]
