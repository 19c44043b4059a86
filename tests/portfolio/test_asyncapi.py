"""The WebSocket's description: current, whole, and true of what is really sent."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import jsonschema
import pytest
import yaml
from channels.db import database_sync_to_async
from django.test import Client

from accounts.models import User
from brokers.models import BrokerConnection
from portfolio.client_messages import Topic
from portfolio.consumers import TOPICS
from portfolio.management.commands.asyncapi import written
from tests.portfolio.live_host import FakeHost
from tests.portfolio.sockets import Application, opened, told

DOCUMENT = Path("docs/asyncapi.yaml")


@pytest.fixture(scope="module")
def description() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(DOCUMENT.read_text())
    return found


def validate(message: dict[str, Any], description: dict[str, Any], name: str = "") -> None:
    payload = description["components"]["messages"][name or message["type"]]["payload"]
    jsonschema.Draft7Validator({**payload, "components": description["components"]}).validate(message)


def test_the_document_is_what_the_declarations_say() -> None:
    assert DOCUMENT.read_text() == written(), "Run: manage.py asyncapi > docs/asyncapi.yaml"


def test_every_push_and_topic_is_described(description: dict[str, Any]) -> None:
    messages = description["components"]["messages"]
    assert TOPICS.keys() - messages.keys() == {"PORTFOLIO_SNAPSHOT"}  # between processes only
    assert messages["subscribe"]["payload"]["properties"]["topic"]["enum"] == list(get_args(Topic))
    used = {each["$ref"].rpartition("/")[2] for each in _operations(description)}
    assert used == messages.keys()
    for payload in (each["payload"] for each in messages.values()):
        jsonschema.Draft7Validator.check_schema(payload)


def _operations(description: dict[str, Any]) -> list[dict[str, str]]:
    return [each for operation in description["operations"].values() for each in operation["messages"]]


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("quick", "connections_given_back")
async def test_what_is_sent_is_what_is_described(
    application: Application,
    description: dict[str, Any],
    alice: User,
    as_alice: Client,
    alices: dict[str, BrokerConnection],
) -> None:
    kinds = set()
    with FakeHost(alice.pk) as host:
        async with opened(application, as_alice) as page:
            messages = [await told(page)]
            await database_sync_to_async(host.tick)(120)
            messages.append(await told(page))
            for text in ('{"type":"subscribe","topics":["orders"]}', '{"type":"ping"}', "?"):
                await page.send_to(text_data=text)
                messages.append(await told(page))
    for message in messages:
        validate(message, description)
        kinds.add(message["type"])
    assert kinds == {"SNAPSHOT", "PORTFOLIO_DELTA", "SUBSCRIBED", "HEARTBEAT", "ERROR"}


def test_the_samples_messages_are_described(description: dict[str, Any]) -> None:
    validate({"type": "snapshot"}, description, "snapshot")
    with pytest.raises(jsonschema.ValidationError):
        validate({"type": "subscribe", "topics": ["everything"]}, description, "subscribe")
