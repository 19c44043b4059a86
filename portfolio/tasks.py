from celery import shared_task
from django.conf import settings
from django.utils import timezone

from accounts.models import User
from portfolio import halt_letters, risk_history, services, watching


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


@shared_task(name="portfolio.send_halt_letter")
def send_halt_letter(halt_id: int) -> None:
    halt_letters.send(halt_id)
