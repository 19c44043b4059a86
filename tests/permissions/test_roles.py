"""The role, and nothing beside it, opens the API, the trader's pages and the sockets; what opens the admin is apart."""

from __future__ import annotations

from itertools import product

import pytest
from django.contrib.auth.models import Permission
from django.test import Client, RequestFactory
from rest_framework.permissions import AllowAny
from rest_framework.views import APIView

from accounts.models import Role, User
from accounts.permissions import IsTrader
from tests.accounts.door import PASSWORD, person
from tests.people import support
from tests.permissions import routes
from tests.permissions.world import signed_in

# Open on purpose, and why.
ANYBODYS = {
    "api/schema": "the document that describes the API is no secret",
    "api/docs": "nor is it as a page",
    "api/v1/auth/login": "who logs in is not in yet: it asks for the password and the second factor itself",
    "api/v1/auth/refresh": "an access token may have died by now: the refresh token is what is asked for",
}
API = [route for route in routes.every() if isinstance(getattr(route.view, "cls", None), type)]


@pytest.mark.parametrize("route", API, ids=lambda route: route.path)
def test_every_address_of_the_api_asks_for_the_role(route: routes.Route, rf: RequestFactory) -> None:
    assert issubclass(route.view.cls, APIView)
    assert route.methods
    for method in route.methods | {"OPTIONS"}:
        view = route.view.cls(**route.view.initkwargs)
        view.action = getattr(route.view, "actions", {}).get(method.lower())
        view.request = rf.generic(method, "/")
        asked = [type(permission) for permission in view.get_permissions()]
        assert asked[0] is (AllowAny if route.path in ANYBODYS else IsTrader), method


@pytest.mark.parametrize(("role", "is_staff", "is_superuser"), list(product(Role, (False, True), (False, True))))
def test_the_role_decides_and_no_other_right(role: Role, is_staff: bool, is_superuser: bool, db: None) -> None:
    user = User.objects.create_user("who", role=role, is_staff=is_staff, is_superuser=is_superuser)
    user.user_permissions.set(Permission.objects.all())
    client = Client()
    client.cookies["sessionid"] = signed_in(user)
    is_trader = role is Role.TRADER
    assert client.get("/api/v1/brokers/connections").status_code == (200 if is_trader else 403)
    assert client.get("/").status_code == (200 if is_trader else 302)
    # The admin asks for staff status, which no role brings along.
    assert client.get("/admin/").status_code == (200 if is_staff else 302)


@pytest.mark.parametrize("role", ["", "trader", "ADMIN", "TRADER "])
def test_a_role_that_is_none_opens_nothing(role: str, db: None) -> None:
    client = Client()
    client.cookies["sessionid"] = signed_in(User.objects.create_user("who", role=role))
    assert client.get("/api/v1/brokers").status_code == 403
    assert client.get("/").status_code == 302


@pytest.mark.parametrize("role", Role)
def test_who_was_switched_off_is_a_stranger(role: Role, db: None) -> None:
    user = User.objects.create_user("who", role=role, is_staff=True, is_superuser=True)
    client = Client()
    client.cookies["sessionid"] = signed_in(user)
    User.objects.update(is_active=False)
    assert client.get("/api/v1/brokers").status_code == 401
    assert client.get("/")["Location"].startswith("/login")
    assert client.get("/admin/")["Location"].startswith("/admin/login/")


def test_staff_do_not_become_others_by_a_password(db: None) -> None:
    """The admin's own page for signing in counts no wrong passwords, and asks for no second factor."""
    sam, owner = support("sam"), person("owner", is_staff=True)
    client = Client()
    client.cookies["sessionid"] = signed_in(sam)
    assert client.post("/admin/login/", {"username": owner.username, "password": PASSWORD}).status_code == 405
    assert client.session["_auth_user_id"] == str(sam.pk)
    assert client.get("/api/v1/brokers").status_code == 403
