"""Every socket's address × everybody, by cookie and by ticket, from our page and from another's: who is let in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest
from channels.db import database_sync_to_async
from channels.testing import WebsocketCommunicator
from django.utils import timezone

from accounts import api_sessions, tickets
from accounts.credentials import Credential, Kind, Scope
from portfolio.routing import api_websocket_urlpatterns, websocket_urlpatterns
from tests.permissions.world import PEOPLE, World, build
from tests.portfolio.conftest import application, connections_given_back
from tests.portfolio.sockets import OURS, PATIENCE, Application

__all__ = ["application", "connections_given_back"]  # fixtures

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("connections_given_back")]

ACCEPTED = "accepted"
# Before it is open, every refusal is the same one: the handshake's 403.
REFUSED = "closed 1000"
# The door of API clients opens and closes, so that a client is told why: not signed in.
NOT_SIGNED_IN = "opened, closed 4401"
TRADERS = {"owner", "other", "first admin", "stale"}
FOR_TRADERS = {person: ACCEPTED if person in TRADERS else REFUSED for person in PEOPLE}
NOBODY = dict.fromkeys(PEOPLE, REFUSED)
UNKNOWN = dict.fromkeys(PEOPLE, NOT_SIGNED_IN)
FOREIGN = (b"https://evil.example", b"http://127.0.0.1:9999", b"null", None)


@dataclass(frozen=True)
class Socket:
    """An address of a route: who gets in by what, from a page of ours and from one of `FOREIGN`."""

    at: str
    by_cookie: dict[str, str]
    by_ticket: dict[str, str]
    by_cookie_from_elsewhere: dict[str, str]
    by_ticket_from_elsewhere: dict[str, str]


# The routes as they are written. No cookie is looked at behind the door of API clients, and so no origin; a stranger
# comes there with a ticket that was guessed. A ticket that somebody has who is no trader was theirs in another role.
BROWSERS = {
    "ws/portfolio/": Socket("/ws/portfolio/", FOR_TRADERS, NOBODY, NOBODY, NOBODY),
    "": Socket("/ws/nowhere/", NOBODY, NOBODY, NOBODY, NOBODY),
}
BY_TICKET = FOR_TRADERS | {"anonymous": NOT_SIGNED_IN}
LOST = NOBODY | {"anonymous": NOT_SIGNED_IN}
CLIENTS = {
    "ws/api/portfolio/": Socket("/ws/api/portfolio/", UNKNOWN, BY_TICKET, UNKNOWN, BY_TICKET),
    "": Socket("/ws/api/nowhere/", UNKNOWN, LOST, UNKNOWN, LOST),
}
SOCKETS = (*BROWSERS.values(), *CLIENTS.values())


@pytest.fixture
def built(transactional_db: None) -> World:
    return build()


def test_every_socket_has_its_row() -> None:
    assert [str(route.pattern) for route in websocket_urlpatterns] == list(BROWSERS)
    assert [str(route.pattern) for route in api_websocket_urlpatterns] == list(CLIENTS)


@pytest.mark.parametrize("socket", SOCKETS, ids=lambda socket: socket.at)
async def test_everybody_gets_what_the_table_says(socket: Socket, application: Application, built: World) -> None:
    for with_ticket, cells in ((False, socket.by_cookie), (True, socket.by_ticket)):
        got = {person: await tried(application, built, person, socket.at, OURS, with_ticket) for person in PEOPLE}
        assert got == cells, f"ticket: {with_ticket}"


@pytest.mark.parametrize("origin", FOREIGN, ids=str)
async def test_from_elsewhere_a_ticket_alone_gets_in(
    origin: bytes | None, application: Application, built: World
) -> None:
    for socket in SOCKETS:
        cases = ((False, socket.by_cookie_from_elsewhere), (True, socket.by_ticket_from_elsewhere))
        for with_ticket, cells in cases:
            got = {person: await tried(application, built, person, socket.at, origin, with_ticket) for person in PEOPLE}
            assert got == cells, f"{socket.at}, ticket: {with_ticket}"


def test_what_was_tried(tell: Callable[[str], None]) -> None:
    rows = len(SOCKETS) * 2 * (1 + len(FOREIGN))
    assert len(SOCKETS) == len(websocket_urlpatterns) + len(api_websocket_urlpatterns)
    tell(f"{len(SOCKETS)} sockets, {rows} rows × {len(PEOPLE)} people = {rows * len(PEOPLE)} cells")


async def tried(
    application: Application, world: World, person: str, at: str, origin: bytes | None, with_ticket: bool
) -> str:
    headers = [(b"host", b"127.0.0.1:8000")]
    if origin is not None:
        headers.append((b"origin", origin))
    if not with_ticket and person in world.sessions:
        headers.append((b"cookie", f"sessionid={world.sessions[person]}".encode()))
    offered = ["tm.v1", f"ticket.{await ticket_of(world, person)}"] if with_ticket else None
    page = WebsocketCommunicator(application, at, headers=headers, subprotocols=offered)
    is_accepted, code = await page.connect(timeout=PATIENCE)
    if not is_accepted:
        return f"closed {code}"
    first = await page.receive_output(timeout=PATIENCE)
    if first["type"] == "websocket.close":
        return f"opened, closed {first['code']}"
    await page.disconnect(timeout=PATIENCE)
    return ACCEPTED


@database_sync_to_async
def ticket_of(world: World, person: str) -> str:
    """A good one of an API session of theirs; a stranger's is guessed."""
    user = world.people.get("owner" if person == "stale" else person)
    if user is None:
        return "guessed"
    now = timezone.now()
    made = api_sessions.begin(user=user, scope=Scope.READ, name="client", address="192.0.2.1", now=now)
    return tickets.make(user, Credential(Kind.SESSION, str(made.session.pk), Scope.READ))
