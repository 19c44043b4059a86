from celery import shared_task
from django.conf import settings
from django.utils import timezone

from accounts.models import User
from portfolio import breaches, equity_days, limit_watch, risk_history, services, watching


@shared_task(name="portfolio.refresh_watched")
def refresh_watched() -> None:
    for user_id in watching.unhosted(watching.watchers()):
        refresh.apply_async((user_id,), expires=settings.PORTFOLIO_REFRESH_SECONDS)


@shared_task(name="portfolio.refresh")
def refresh(user_id: int) -> None:
    user = User.objects.filter(pk=user_id, is_active=True).first()
    if user is not None:
        services.refresh_quietly(user, now=timezone.now())


@shared_task(name="portfolio.want_held")
def want_held() -> None:
    risk_history.want_held(now=timezone.now())


@shared_task(name="portfolio.watch_limits")
def watch_limits() -> None:
    """By the clock: everybody whom no live host looks after; and what nobody has taken note of is told again."""
    breaches.escalate(timezone.now())
    for user_id in watching.unhosted(limit_watch.watched_users()):
        watch_limits_of.apply_async((user_id,), expires=settings.LIMITS_TICK_SECONDS)


@shared_task(name="portfolio.watch_limits_of")
def watch_limits_of(user_id: int) -> None:
    limit_watch.look(user_id, now=timezone.now())


@shared_task(name="portfolio.look_at_limits")
def look_at_limits(user_id: int) -> None:
    limit_watch.look_at_known(user_id, now=timezone.now())


@shared_task(name="portfolio.note_equity_days")
def note_equity_days() -> None:
    """By the clock: whose day has ended, and is not wholly written."""
    for user_id in equity_days.due(timezone.now()):
        note_equity_day.apply_async((user_id,), expires=settings.EQUITY_DAYS_TICK_SECONDS)


@shared_task(name="portfolio.note_equity_day")
def note_equity_day(user_id: int) -> None:
    user, now = User.objects.filter(pk=user_id, is_active=True).first(), timezone.now()
    if user is not None:
        equity_days.note(user, now=now)
