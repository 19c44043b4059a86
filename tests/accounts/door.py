"""People at the front door: a password, a second factor, and what a browser does with them."""

from __future__ import annotations

import time
from typing import Any

from allauth.mfa.models import Authenticator
from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes
from allauth.mfa.totp.internal.auth import TOTP
from django.test import Client

from accounts.models import User
from trademaster.local.code import code

PASSWORD = "a-long-enough-pass-phrase"
SECRET = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"


def person(name: str, **fields: Any) -> User:
    return User.objects.create_user(name, email=f"{name}@example.com", password=PASSWORD, **fields)


def with_app(user: User) -> Authenticator:
    """Give the user an authenticator app."""
    factor: Authenticator = TOTP.activate(user, SECRET).instance
    return factor


def with_recovery_codes(user: User) -> list[str]:
    codes: list[str] = RecoveryCodes.activate(user).generate_codes()
    return codes


def code_now() -> str:
    return code(SECRET, at=time.time())


def wrong_code() -> str:
    """A code of six digits that is neither today's nor its neighbour's, now or in half a minute."""
    now = time.time()
    near = {code(SECRET, at=now + step * 30) for step in (-2, -1, 0, 1, 2)}
    return next(text for text in ("000000", "111111", "222222", "333333") if text not in near)


def sign_in(client: Client, name: str, password: str = PASSWORD, **more: str) -> Any:
    return client.post("/login", {"login": name, "password": password, **more})


def show_code(client: Client, **more: str) -> Any:
    return client.post("/login/factor", {"code": code_now(), **more})


def is_in(client: Client) -> bool:
    return client.get("/").status_code == 200
