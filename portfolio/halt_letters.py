"""A letter that tells its owner that trading was stopped, or more of it: no page may be open."""

from __future__ import annotations

import logging
from smtplib import SMTPException

from django.conf import settings
from django.core.mail import send_mail
from django.db import transaction
from kombu.exceptions import OperationalError

from portfolio.risk_models import TradingHalt

logger = logging.getLogger(__name__)


def send_later(row: TradingHalt) -> None:
    """Hand the letter to a worker once the halt is committed. With Redis away the page alone tells."""
    from portfolio.tasks import send_halt_letter  # tasks call services, and so are above this

    def hand_over() -> None:
        try:
            send_halt_letter.apply_async((row.pk,), retry=False)
        except OperationalError as error:
            logger.warning("Redis is away (%s): no letter tells of halt %s", type(error).__name__, row.pk)

    transaction.on_commit(hand_over)


def send(halt_id: int) -> None:
    """Write the letter; a server that does not take it is logged, and not asked again."""
    row = TradingHalt.objects.select_related("user").get(pk=halt_id)
    if not row.user.email:
        return
    lines = [
        f"{row.get_kind_display()}: {row.get_level_display()}.",
        "Why it was set, by whom, and how it is ended stands on your page.",
        "If TradeMaster itself stops, orders of the day stay at the exchange: look into your brokers’ own apps then.",
        f"{settings.PUBLIC_URL}/",
    ]
    subject = f"{settings.ACCOUNT_EMAIL_SUBJECT_PREFIX}trading was stopped"
    try:
        send_mail(subject, "\n\n".join(lines), None, [row.user.email])
    except (SMTPException, OSError) as error:  # their words may quote the address
        logger.warning("The letter about halt %s was not taken: %s", halt_id, type(error).__name__)
