"""Letters that no page of django-allauth sends."""

from __future__ import annotations

from django.conf import settings
from django.core.mail import send_mail
from django.template.loader import render_to_string
from django.utils import timezone

from accounts.models import Invitation, User


def send_invitation(invitation: Invitation, link: str) -> None:
    """Raises SMTPException or OSError where the mail server does not take it."""
    words = render_to_string("account/email/invitation_message.txt", {"invitation": invitation, "link": link})
    send_mail(f"{settings.ACCOUNT_EMAIL_SUBJECT_PREFIX}your invitation", words.strip() + "\n", None, [invitation.email])


def send_token_reused(user: User, email: str) -> None:
    """Raises SMTPException or OSError where the mail server does not take it."""
    words = render_to_string("account/email/token_reused_message.txt", {"user": user, "at": timezone.localtime()})
    send_mail(f"{settings.ACCOUNT_EMAIL_SUBJECT_PREFIX}a program was signed out", words.strip() + "\n", None, [email])
