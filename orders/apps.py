from django.apps import AppConfig
from django.db.models.signals import post_migrate


class OrdersConfig(AppConfig):
    name = "orders"
    verbose_name = "Orders"

    def ready(self) -> None:
        from brokers import order_news
        from orders import failover, hearing, intake, rates

        order_news.listen(hearing.hear)
        failover.decide_by(intake.decide_anew)
        post_migrate.connect(rates.fill_empty_tables, sender=self, dispatch_uid="rates")
