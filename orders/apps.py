from django.apps import AppConfig
from django.db.models.signals import post_migrate


class OrdersConfig(AppConfig):
    name = "orders"
    verbose_name = "Orders"

    def ready(self) -> None:
        from orders import rates

        post_migrate.connect(rates.fill_empty_tables, sender=self, dispatch_uid="rates")
