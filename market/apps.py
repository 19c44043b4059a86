from django.apps import AppConfig


class MarketConfig(AppConfig):
    name = "market"
    verbose_name = "Market"

    def ready(self) -> None:
        from brokers import login_news
        from market import tasks

        login_news.listen(tasks.load_after_login)
