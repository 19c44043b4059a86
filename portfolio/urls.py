from django.urls import path

from portfolio.candle_views import CandlesView
from portfolio.sector_views import SectorsView
from portfolio.silence_views import SilencesView
from portfolio.views import ConsolidatedView, SharedListView, SharedView

urlpatterns = [
    path("brokers/portfolio/consolidated", ConsolidatedView.as_view(), name="consolidated"),
    path("market/candles", CandlesView.as_view(), name="market-candles"),
    path("portfolio/sectors", SectorsView.as_view(), name="portfolio-sectors"),
    path("portfolio/shared", SharedListView.as_view(), name="shared-list"),
    path("portfolio/silences", SilencesView.as_view(), name="portfolio-silences"),
    path("portfolio/shared/<uuid:id>", SharedView.as_view(), name="shared"),
]
