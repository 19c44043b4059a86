"""Who logs in by the API: the same passwords, second factors and counts of wrong ones as at the browser's door.

One address asks for both: who has a second factor and did not send a code is told so, and sends the same again with
it. Nothing is kept in between, so there is nothing to steal, to fix, or to forget.
"""

from __future__ import annotations

from allauth.account.adapter import get_adapter
from allauth.core import ratelimit
from allauth.mfa.base.forms import BaseAuthenticateForm
from allauth.mfa.models import Authenticator
from django.core.exceptions import ValidationError
from django.http import HttpRequest

from accounts import step_up
from accounts.models import User
from accounts.refusals import FactorRequired, TooManyTries, WrongCode, WrongLogin

TYPED = (Authenticator.Type.TOTP, Authenticator.Type.RECOVERY_CODES)


def by_password(request: HttpRequest, *, login: str, password: str) -> User:
    """Raises WrongLogin, whatever was wrong, and TooManyTries."""
    if not ratelimit.consume(request, action="login"):
        raise TooManyTries
    try:
        user = get_adapter(request).authenticate(request, username=login, password=password)
    except ValidationError:
        raise TooManyTries from None
    if not isinstance(user, User) or not user.is_active:
        raise WrongLogin
    return user


def by_factor(user: User, code: str) -> None:
    """See the second factor of whoever has one. Raises FactorRequired, WrongCode and TooManyTries."""
    if not step_up.has_factor(user):
        return
    if not code:
        found = Authenticator.objects.filter(user=user, type__in=TYPED).values_list("type", flat=True)
        raise FactorRequired(sorted(found))
    form = BaseAuthenticateForm(data={"code": code}, user=user)
    if not form.is_valid():
        is_limited = form.has_error("code", "too_many_login_attempts")
        raise TooManyTries if is_limited else WrongCode
    form.authenticator.record_usage()


def again(request: HttpRequest, user: User, *, code: str, password: str) -> None:
    """A fresh proof by who is logged in: the second factor, or the password of who has none.

    Raises FactorRequired, WrongCode, WrongLogin and TooManyTries.
    """
    if step_up.has_factor(user):
        by_factor(user, code)
    elif by_password(request, login=user.get_username(), password=password).pk != user.pk:
        raise WrongLogin
