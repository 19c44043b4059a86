"""Every socket's address × everybody, from our page and from another's: who is let in, how others are closed."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from channels.testing import WebsocketCommunicator

from portfolio.routing import websocket_urlpatterns
from tests.permissions.world import PEOPLE, World, build
from tests.portfolio.conftest import application, connections_given_back
from tests.portfolio.sockets import OURS, PATIENCE, Application

__all__ = ["application", "connections_given_back"]  # fixtures

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("connections_given_back")]

ACCEPTED = "accepted"
# Before it is open, every refusal is the same one: the handshake's 403.
REFUSED = "closed 1000"
TRADERS = {"owner", "other", "first admin", "stale"}

# The routes as they are written → an address of each, and who gets in from a page of ours.
SOCKETS: dict[str, tuple[str, dict[str, str]]] = {
    "ws/portfolio/": (
        "/ws/portfolio/",
        {person: ACCEPTED if person in TRADERS else REFUSED for person in PEOPLE},
    ),
    "": ("/ws/nowhere/", dict.fromkeys(PEOPLE, REFUSED)),
}
FOREIGN = (b"https://evil.example", b"http://127.0.0.1:9999", b"null", None)


@pytest.fixture
def built(transactional_db: None) -> World:
    return build()


def test_every_socket_has_its_row() -> None:
    assert [str(route.pattern) for route in websocket_urlpatterns] == list(SOCKETS)


async def test_everybody_gets_what_the_table_says(application: Application, built: World) -> None:
    for at, cells in SOCKETS.values():
        assert {person: await tried(application, built, person, at, OURS) for person in PEOPLE} == cells, at


@pytest.mark.parametrize("origin", FOREIGN, ids=str)
async def test_nobody_gets_in_from_elsewhere(origin: bytes | None, application: Application, built: World) -> None:
    for at, _ in SOCKETS.values():
        got = {person: await tried(application, built, person, at, origin) for person in PEOPLE}
        assert set(got.values()) == {REFUSED}, got


def test_what_was_tried(tell: Callable[[str], None]) -> None:
    rows = len(SOCKETS) * (1 + len(FOREIGN))
    assert len(SOCKETS) == len(websocket_urlpatterns)
    tell(f"{len(SOCKETS)} sockets, {rows} rows × {len(PEOPLE)} people = {rows * len(PEOPLE)} cells")


async def tried(application: Application, world: World, person: str, at: str, origin: bytes | None) -> str:
    headers = [(b"host", b"127.0.0.1:8000")]
    if origin is not None:
        headers.append((b"origin", origin))
    if person in world.sessions:
        headers.append((b"cookie", f"sessionid={world.sessions[person]}".encode()))
    page = WebsocketCommunicator(application, at, headers=headers)
    is_accepted, code = await page.connect(timeout=PATIENCE)
    if is_accepted:
        await page.disconnect(timeout=PATIENCE)
    return ACCEPTED if is_accepted else f"closed {code}"
