"""What columns and indices of several tables share."""

from __future__ import annotations

from django.db import models

from brokers import registry


class NamedIndex(models.Index):
    """An index that may bear the specification's name: PostgreSQL allows 63 characters, Django's default is 30."""

    max_name_length = 63


def broker_choices() -> list[tuple[str, str]]:
    return [(broker.spec.slug, broker.spec.name) for broker in registry.brokers()]
