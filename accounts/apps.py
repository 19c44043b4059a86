from django.apps import AppConfig
from django.contrib import admin


class AccountsConfig(AppConfig):
    name = "accounts"
    verbose_name = "People"

    def ready(self) -> None:
        from allauth.account.decorators import secure_admin_login

        from accounts import hearing, signals  # noqa: F401 - signals connects itself; the rows it hears of are there now

        admin.site.site_header = admin.site.site_title = "TradeMaster support"
        admin.site.index_title = "Accounts and connections"
        # One door: Django's own login page knows no second factor. Before the addresses of the admin are made.
        admin.site.login = secure_admin_login(admin.site.login)  # type: ignore[method-assign]
        hearing.listen()
