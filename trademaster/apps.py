from django.apps import AppConfig


class TrademasterConfig(AppConfig):
    name = "trademaster"

    def ready(self) -> None:
        from trademaster import checks  # noqa: F401 - registers the start-up checks
