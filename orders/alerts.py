"""What a person must see of an order although no page is open: a letter to the trader."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from smtplib import SMTPException

from django.conf import settings
from django.core.mail import send_mail
from django.db import transaction
from kombu.exceptions import OperationalError

from orders.models import OrderEvent

logger = logging.getLogger(__name__)

UNKNOWN = "order_unknown"
REJECTED_LATER = "rejected_after_acceptance"
FOUND_AFTER_ALL = "found_after_all"
CONTRADICTED = "contradicted"

# Subject and sentence, by the event's code. What the broker said stays on the page: letters travel in the open.
WORDS: Mapping[str, tuple[str, str]] = {
    UNKNOWN: (
        "an order is not known to have been placed",
        "{broker} did not say what became of it, and its order book does not prove it either. It may be there: nothing"
        " of it is sent again. Look into your account at the broker before you order the same elsewhere.",
    ),
    REJECTED_LATER: (
        "an order was rejected after it had been accepted",
        "{broker} had accepted it and then rejected it. Its reason stands on the page of the order.",
    ),
    FOUND_AFTER_ALL: (
        "an order is there after all",
        "It was taken for not placed, and now stands in the order book of {broker}. It is followed again.",
    ),
    CONTRADICTED: (
        "a broker contradicts itself about an order",
        "What {broker} says now does not fit what it had said before. Both stand on the page of the order.",
    ),
}


def send_later(event: OrderEvent) -> None:
    """Hand the letter to a worker once the event is committed. With Redis away the page alone tells."""
    from orders.tasks import send_alert  # tasks call services, and so are above this

    def hand_over() -> None:
        try:
            send_alert.apply_async((event.pk,), retry=False)
        except OperationalError as error:
            logger.warning("Redis is away (%s): no letter tells of order event %s", type(error).__name__, event.pk)

    transaction.on_commit(hand_over)


def send(event_id: int) -> None:
    """Write the letter; a server that does not take it is logged, and not asked again."""
    event = OrderEvent.objects.select_related("child__intent__user", "child__intent__instrument").get(pk=event_id)
    child = event.child
    if child is None or not child.intent.user.email:
        return
    subject, sentence = WORDS[event.code]
    lines = [
        f"{child.intent} at {child.get_broker_type_display()}.",
        sentence.format(broker=child.get_broker_type_display()),
        f"{settings.PUBLIC_URL}/",
    ]
    try:
        send_mail(
            f"{settings.ACCOUNT_EMAIL_SUBJECT_PREFIX}{subject}", "\n\n".join(lines), None, [child.intent.user.email]
        )
    except (SMTPException, OSError) as error:  # their words may quote the address
        logger.warning("The letter about order event %s was not taken: %s", event_id, type(error).__name__)
