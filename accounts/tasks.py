"""What beat has done to the tables of the front door."""

from datetime import timedelta

from allauth.usersessions.models import UserSession
from celery import shared_task
from django.contrib.sessions.models import Session
from django.db.models import Q
from django.utils import timezone

from accounts.alert_models import AlertDelivery
from accounts.models import ApiSession, Invitation, PersonalToken, SignInPlace, TrustedDevice

PLACES_KEPT = timedelta(days=365)
ALERTS_KEPT = timedelta(days=90)


@shared_task(name="accounts.prune")
def prune() -> None:
    """Delete what has lapsed: sessions, trusted devices, API clients, invitations not taken, old places and alerts."""
    now = timezone.now()
    Session.objects.filter(expire_date__lt=now).delete()
    live = Session.objects.values("session_key")
    UserSession.objects.filter(~Q(session_key__in=live)).delete()
    TrustedDevice.objects.filter(expires_at__lt=now).delete()
    Invitation.objects.filter(expires_at__lt=now, accepted_at=None).delete()
    ApiSession.objects.filter(expires_at__lt=now).delete()
    PersonalToken.objects.filter(expires_at__lt=now).delete()
    SignInPlace.objects.filter(last_seen_at__lt=now - PLACES_KEPT).delete()
    AlertDelivery.objects.filter(happened_at__lt=now - ALERTS_KEPT).delete()
