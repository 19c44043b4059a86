from django.apps import AppConfig
from django.contrib import admin


class AccountsConfig(AppConfig):
    name = "accounts"
    verbose_name = "People"

    def ready(self) -> None:
        from accounts import hearing  # the rows it hears of are there only now

        admin.site.site_header = admin.site.site_title = "TradeMaster support"
        admin.site.index_title = "Accounts and connections"
        hearing.listen()
