from django.urls import path

from orders import views

urlpatterns = [
    path("orders", views.OrdersView.as_view(), name="orders"),
    path("orders/preview", views.PreviewView.as_view(), name="order-preview"),
    path("orders/basket", views.BasketView.as_view(), name="basket"),
    path("orders/basket/preview", views.BasketPreviewView.as_view(), name="basket-preview"),
    path("orders/copy", views.CopyView.as_view(), name="order-copy"),
    path("orders/copy/preview", views.CopyPreviewView.as_view(), name="order-copy-preview"),
    path("orders/square-off", views.SquareOffView.as_view(), name="square-off"),
    path("orders/book", views.OrderBookView.as_view(), name="order-book"),
    path("orders/trades", views.TradeBookView.as_view(), name="trade-book"),
    path("orders/gtt", views.GttsView.as_view(), name="gtts"),
    path("orders/gtt/<uuid:id>", views.GttView.as_view(), name="gtt"),
    path("orders/settings", views.SettingsView.as_view(), name="order-settings"),
    path("orders/<uuid:id>", views.OrderView.as_view(), name="order"),
    path("orders/<uuid:id>/decision", views.DecisionView.as_view(), name="order-decision"),
    path("orders/<uuid:id>/timeline", views.TimelineView.as_view(), name="order-timeline"),
    path("orders/<uuid:id>/approve", views.ApproveView.as_view(), name="order-approve"),
    path("orders/<uuid:id>/decline", views.DeclineView.as_view(), name="order-decline"),
    path("orders/<uuid:id>/settle", views.SettleView.as_view(), name="order-settle"),
]
