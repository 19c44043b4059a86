"""The risk report and what belongs to it, under /api/v1/risk/."""

from django.urls import URLPattern, path

from portfolio import risk_views as views

urlpatterns: list[URLPattern] = [
    path("report", views.ReportView.as_view(), name="risk-report"),
    path("exposure", views.ExposureView.as_view(), name="risk-exposure"),
    path("var", views.LossesView.as_view(), name="risk-var"),
    path("stress", views.StressView.as_view(), name="risk-stress"),
    path("liquidity", views.LiquidityView.as_view(), name="risk-liquidity"),
    path("expiries", views.ExpiriesView.as_view(), name="risk-expiries"),
    path("performance", views.PerformanceView.as_view(), name="risk-performance"),
    path("backtest", views.BacktestView.as_view(), name="risk-backtest"),
    path("equity", views.EquityView.as_view(), name="risk-equity"),
    path("cash-flows", views.CashFlowsView.as_view(), name="risk-cash-flows"),
    path("cash-flows/<int:id>", views.CashFlowView.as_view(), name="risk-cash-flow"),
    path("scenarios", views.ScenariosView.as_view(), name="risk-scenarios"),
    path("scenarios/<int:id>", views.ScenarioView.as_view(), name="risk-scenario"),
]
