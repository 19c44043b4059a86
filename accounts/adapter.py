"""Where django-allauth asks us: who may make an account, what stands between password and session, how letters go."""

from __future__ import annotations

import logging
from smtplib import SMTPException
from typing import Any, NamedTuple
from urllib.parse import urlsplit, urlunsplit

from allauth.account.adapter import DefaultAccountAdapter
from allauth.account.internal.userkit import filter_users_by_email, get_user_by_username
from allauth.core import context
from allauth.core.exceptions import ImmediateHttpResponse
from allauth.mfa.models import Authenticator
from allauth.mfa.stages import AuthenticateStage
from allauth.usersessions.adapter import DefaultUserSessionsAdapter
from django.conf import settings
from django.db import transaction
from django.http import HttpRequest
from django.shortcuts import redirect
from django.utils import timezone

from accounts import devices, invitations, sockets, step_up
from accounts.models import Invitation, User

logger = logging.getLogger(__name__)


# One answer, whatever was wrong.
MISMATCH = "The name or the password is not right."


class FrontDoor(DefaultAccountAdapter):
    error_messages = {
        **DefaultAccountAdapter.error_messages,
        "username_password_mismatch": MISMATCH,
        "email_password_mismatch": MISMATCH,
        "too_many_login_attempts": "Too many tries for this name or from this address. Wait some minutes.",
    }

    # --- who may make an account ------------------------------------------------------------------------------------
    def is_open_for_signup(self, request: HttpRequest) -> bool:
        return invitations.of_session(request) is not None

    def is_email_verified(self, request: HttpRequest, email: str) -> bool:
        """Whoever followed a link that was sent to an address owns it."""
        token_hash = request.session.get(invitations.SESSION_KEY, "")
        return bool(Invitation.objects.filter(token_hash=token_hash, was_mailed=True, email__iexact=email).exists())

    def save_user(self, request: HttpRequest, user: User, form: Any, commit: bool = True) -> User:
        """Spend the invitation and make the account, or neither."""
        invitation = invitations.of_session(request)
        try:
            if invitation is None:
                raise invitations.InvitationSpent
            with transaction.atomic():
                made: User = super().save_user(request, user, form, commit)
                invitations.accept(invitation, user=made, now=timezone.now())
        except invitations.InvitationSpent:
            raise ImmediateHttpResponse(redirect("account_signup")) from None
        return made

    # --- guessing ---------------------------------------------------------------------------------------------------
    def _get_login_attempts_cache_key(self, request: HttpRequest, **credentials: Any) -> str:
        """One count for each account, by whatever name it is tried, and for each name that is nobody's.

        (The library counts by what was typed and by the host it was sent to: two names would be twice the tries.)
        """
        login = str(credentials.get("email") or credentials.get("username") or "").strip().lower()
        user = get_user_by_username(login) or next(iter(filter_users_by_email(login)), None)
        return f"user:{user.pk}" if user else f"login:{login}"

    # --- between password and session -------------------------------------------------------------------------------
    def get_login_stages(self) -> list[str]:
        ours = {"allauth.mfa.stages.AuthenticateStage": "accounts.adapter.FactorStage"}
        return [ours.get(stage, stage) for stage in super().get_login_stages()]

    def get_reauthentication_methods(self, user: Any) -> list[dict[str, Any]]:
        """Who has a second factor shows that; a password alone is not enough for them."""
        methods: list[dict[str, Any]] = super().get_reauthentication_methods(user)
        factors = [method for method in methods if method["id"] != "reauthenticate"]
        if not user.is_authenticated or not step_up.has_factor(user):
            return [method for method in methods if method not in factors]
        return sorted(factors, key=lambda method: _has_totp(user) == method["id"].endswith("webauthn"))

    def is_reauthentication_required(self, *, app: str, **kwargs: Any) -> bool:
        """What allauth guards, by its pages or its API, needs the same fresh proof as what we guard."""
        return not step_up.is_fresh(context.request)

    # --- letters ----------------------------------------------------------------------------------------------------
    # Their links lead to PUBLIC_URL, not to where the request says that it was sent: of that a port, at which somebody
    # else may listen, is checked by nobody.
    def get_reset_password_from_key_url(self, key: str) -> str:
        return _at_home(super().get_reset_password_from_key_url(key))

    def get_email_confirmation_url(self, request: HttpRequest, emailconfirmation: Any) -> str:
        return _at_home(super().get_email_confirmation_url(request, emailconfirmation))

    def send_mail(self, template_prefix: str, email: str, context: dict[str, Any]) -> None:
        home = urlsplit(settings.PUBLIC_URL).netloc
        super().send_mail(template_prefix, email, {**context, "current_site": Site(domain=home, name="TradeMaster")})

    def send_notification_mail(self, *args: Any, **kwargs: Any) -> None:
        """What has happened has happened, whether the letter that tells of it goes out or not."""
        try:
            super().send_notification_mail(*args, **kwargs)
        except (SMTPException, OSError) as error:
            logger.error("A notice of a change of an account was not sent: %s", type(error).__name__)


class FactorStage(AuthenticateStage):
    """The second factor, unless this browser is trusted."""

    def _should_handle(self, request: HttpRequest) -> bool:
        if not super()._should_handle(request):
            return False
        return not devices.is_trusted(request, self.login.user, now=timezone.now())


class Sessions(DefaultUserSessionsAdapter):
    def end_sessions(self, sessions: Any) -> None:
        super().end_sessions(sessions)
        sockets.close_sessions(session.session_key for session in sessions)


class Site(NamedTuple):
    """What the library's letters ask of a site."""

    domain: str
    name: str


def _at_home(url: str) -> str:
    parts = urlsplit(url)
    return settings.PUBLIC_URL + urlunsplit(("", "", parts.path, parts.query, ""))


def _has_totp(user: User) -> bool:
    return bool(Authenticator.objects.filter(user=user, type=Authenticator.Type.TOTP).exists())
