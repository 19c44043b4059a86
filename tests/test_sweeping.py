"""The search for secrets finds what is planted: one that never finds anything would prove nothing."""

from __future__ import annotations

import base64
import json
import logging
from typing import Any, NoReturn
from urllib.parse import quote, urlsplit

import pytest
import redis
from django.conf import settings

from accounts.models import User
from tests.conftest import signed_in
from tests.sweeping import Texts, dump_everything, everything_logged, look_at_the_admin


class Broken(Exception):
    """What nobody foresaw."""


PLANTED = "s3cr3t/value+of"


def log_plainly(texts: Texts) -> None:
    logging.getLogger("urllib3.planted").debug("token=%s", PLANTED)


def log_an_error(texts: Texts) -> None:
    token = f"Bearer {PLANTED}"
    try:
        raise Broken
    except Broken:
        logging.getLogger("brokers.planted").exception("It is not in the words, but in a variable: %d", len(token))


def log_what_an_error_was_raised_from(texts: Texts) -> None:
    def inner(token: str) -> NoReturn:
        raise Broken

    try:
        try:
            inner(PLANTED)
        except Broken:
            raise ValueError("something else") from None
    except ValueError:
        logging.getLogger("brokers.planted").exception("It lies one error deeper")


def queue_a_task(texts: Texts) -> None:
    body = base64.b64encode(json.dumps([[PLANTED], {}, {}]).encode()).decode()
    with redis.Redis.from_url(settings.CELERY_BROKER_URL) as client:
        client.lpush("planted", json.dumps({"body": body}))
        dump_everything(texts)
        client.delete("planted")


def cache_it_in_the_last_database(texts: Texts) -> None:
    url = urlsplit(settings.REDIS_URL)._replace(path="/15").geturl()
    with redis.Redis.from_url(url) as client:
        client.hset("planted", "key", quote(PLANTED, safe=""))
        dump_everything(texts)
        client.delete("planted")


def write_it_into_a_row(texts: Texts) -> None:
    User.objects.create_user("planted", last_name=base64.urlsafe_b64encode(f"x{PLANTED}y".encode()).decode())
    dump_everything(texts)


def show_it_to_support(texts: Texts) -> None:
    User.objects.create_user("planted", last_name=PLANTED)
    look_at_the_admin(signed_in(User.objects.create_superuser("planter")), texts)


@pytest.mark.parametrize(
    ("plant", "place"),
    [
        (log_plainly, "logs"),
        (log_an_error, "error reports"),
        (log_what_an_error_was_raised_from, "error reports"),
        (queue_a_task, "redis 0"),
        (cache_it_in_the_last_database, "redis 15"),
        (write_it_into_a_row, "table users"),
        (show_it_to_support, "admin accounts.User"),
        (lambda texts: texts.add("here", f"hex {PLANTED.encode().hex()}"), "here"),
        *(
            (lambda texts, n=n: texts.add("here", base64.b64encode(b"x" * n + PLANTED.encode() + b"y")), "here")
            for n in range(4)
        ),
    ],
)
def test_the_search_finds_what_is_planted(plant: Any, place: str, db: None) -> None:
    texts = Texts()
    with everything_logged(texts):
        plant(texts)
    assert place in texts.places_of(PLANTED)
    assert texts.places_of("never written anywhere") == []
