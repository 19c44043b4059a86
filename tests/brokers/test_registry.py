"""The only list of brokers."""

from __future__ import annotations

import pytest

from brokers import registry
from brokers.base import BrokerAuth, BrokerClient


@pytest.mark.parametrize("slug", registry.slugs())
def test_every_slug_leads_to_its_package(slug: str) -> None:
    broker = registry.load(slug)
    assert broker.spec.slug == slug
    assert issubclass(broker.auth_class, BrokerAuth)
    assert issubclass(broker.client_class, BrokerClient)
    assert broker.auth_class.spec is broker.client_class.spec is broker.spec
    assert registry.load(slug) is broker


def test_the_list_is_in_order() -> None:
    assert [broker.spec.slug for broker in registry.brokers()] == list(registry.slugs())
    assert [registry.order_of(slug) for slug in registry.slugs()] == list(range(len(registry.slugs())))


@pytest.mark.parametrize("slug", ["", "nobody", "Zerodha", "../zerodha", "brokers.zerodha"])
def test_an_unknown_broker_is_refused_without_echo(slug: str) -> None:
    with pytest.raises(registry.UnsupportedBroker) as caught:
        registry.load(slug)
    assert caught.value.slug == slug
    assert str(caught.value) == "There is no such broker here."
