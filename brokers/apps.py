from django.apps import AppConfig


class BrokersConfig(AppConfig):
    name = "brokers"
    verbose_name = "Broker connections"

    def ready(self) -> None:
        from brokers import checks  # noqa: F401 - registers the start-up checks
