from typing import Any

from django.apps import AppConfig
from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_GET


class AccountsConfig(AppConfig):
    name = "accounts"
    verbose_name = "People"

    def ready(self) -> None:
        from allauth.account.decorators import secure_admin_login

        from accounts import hearing, signals  # noqa: F401 - signals connects itself; the rows it hears of are there now

        admin.site.site_header = admin.site.site_title = "TradeMaster support"
        admin.site.index_title = "Accounts and connections"
        # One door: Django's own pages know no second factor, no count of wrong passwords and no fresh proof, so nothing
        # can be posted to them. Before the addresses of the admin are made.
        admin.site.login = secure_admin_login(require_GET(admin.site.login))  # type: ignore[method-assign]
        admin.site.password_change = _to_our_own  # type: ignore[method-assign, assignment]
        hearing.listen()


def _to_our_own(request: HttpRequest, extra_context: Any = None) -> HttpResponse:
    """The admin's page for a new password."""
    return redirect("account_change_password")
