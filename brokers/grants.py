"""Read access for another person: given, listed, taken back. What they see of it is `portfolio.shared`'s."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from uuid import UUID

from django.db import transaction

from accounts import audit
from accounts.audit import Happened
from accounts.events import Event
from accounts.models import Role, User
from brokers.agreements import ConnectionGrant, ConnectionGrants
from brokers.changes import connections_changed
from brokers.models import BrokerConnection
from brokers.reach import ConnectRefused

# Standing grants of one owner.
MOST_GRANTS = 50


class GrantRefused(ConnectRefused):
    """A grant that is not given. Nothing in it depends on whether the other person exists."""


def give(
    *, owner: User, named: str, connection_ids: Collection[UUID], expires_at: datetime | None, now: datetime
) -> ConnectionGrant:
    """Let whoever is named by a username, or by an e-mail address, look at these connections of the owner's.

    The answer is the same whether that person exists or not, and so is the work done for it: a grant to nobody is kept
    and shown, and opens nothing to anybody, ever.
    Raises GrantRefused (`unknown_connection`, `grant_expired`, `grant_to_oneself`, `too_many_grants`).
    """
    if expires_at is not None and expires_at <= now:
        raise GrantRefused("grant_expired", "The grant would have ended already.", "Choose a later `expires_at`.")
    wanted = set(connection_ids)
    connections = list(BrokerConnection.objects.without_secrets().active().filter(user=owner, pk__in=wanted))
    if not wanted or len(connections) != len(wanted):
        raise GrantRefused(
            "unknown_connection", "You have no such connection.", "Send ids from GET /api/v1/brokers/connections."
        )
    if named.casefold() in (owner.username.casefold(), owner.email.casefold()):
        raise GrantRefused("grant_to_oneself", "That is you.", "Name another person.")
    if standing_of(owner, now).count() >= MOST_GRANTS:
        raise GrantRefused("too_many_grants", "There are too many grants.", "Take some back first.")
    with transaction.atomic():
        grant = ConnectionGrant.objects.create(
            owner=owner, viewer=_viewer(named), named=named, expires_at=expires_at, created_at=now
        )
        grant.connections.set(connections)
        audit.record_all(_told(Event.GRANT_GIVEN, grant, len(connections)), actor=owner, now=now)
    return grant


def standing_of(owner: User, now: datetime) -> ConnectionGrants:
    """What the owner has given and not taken back, newest first."""
    return ConnectionGrant.objects.standing(now).filter(owner=owner).prefetch_related("connections")


def received_by(viewer: User, now: datetime) -> ConnectionGrants:
    """What others let this person see, as long as they can sign in themselves."""
    given = ConnectionGrant.objects.standing(now).filter(viewer=viewer, owner__is_active=True)
    return given.select_related("owner").prefetch_related("connections")


def revoke(grant: ConnectionGrant, *, now: datetime) -> bool:
    """Take a grant back. Returns whether it stood until now."""
    with transaction.atomic():
        stood = ConnectionGrant.objects.filter(pk=grant.pk, revoked_at__isnull=True).update(revoked_at=now) == 1
        if stood:
            connections_changed(grant.owner_id)
            audit.record_all(_told(Event.GRANT_REVOKED, grant, grant.connections.count()), now=now)
    return stood


def _viewer(named: str) -> User | None:
    """The trader of this name; an e-mail address must be one person's alone.

    What looks like an address is never a username: else whoever signs up as `bob@example.com` would be taken for Bob.
    """
    people = User.objects.filter(is_active=True, role=Role.TRADER)
    found = list(people.filter(email__iexact=named)[:2] if "@" in named else people.filter(username=named)[:2])
    return found[0] if len(found) == 1 else None


def _told(event: Event, grant: ConnectionGrant, connections: int) -> list[Happened]:
    """For the owner; and for the viewer, whose log tells who let them in. A grant to nobody takes as many events: the
    numbers of the owner's next ones must not tell it from another.
    """
    thing, details = ("grant", grant.pk), {"connections": connections}
    return [
        Happened(event=event, subject=person, thing=thing, details=details)
        for person in (grant.owner_id, grant.viewer_id)
    ]
