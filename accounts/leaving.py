"""Leaving everywhere at once, and being told of an arrival from somewhere new: for browsers and API clients alike."""

from __future__ import annotations

from allauth.usersessions.adapter import get_adapter as sessions_adapter
from allauth.usersessions.models import UserSession
from django.http import HttpRequest
from django.utils import timezone

from accounts import api_sessions, devices, signals, sockets
from accounts.models import User


def leave_everywhere(user: User) -> None:
    """End every session of browsers and API clients. Personal tokens stay: they are revoked one by one."""
    sessions_adapter().end_sessions(UserSession.objects.filter(user=user))
    api_sessions.end_all(user)
    sockets.close_user(user.pk)


def tell_of_new_place(request: HttpRequest, user: User) -> None:
    if devices.is_new_place(request, user, now=timezone.now()):
        signals.alert(request, user)
