import json
from io import StringIO

import pytest
from django.contrib.auth import authenticate
from django.core.management import CommandError, call_command
from pytest_django import Settings

from accounts.models import Role, User

pytestmark = pytest.mark.django_db


def demo_users(*arguments: str) -> dict[str, str | None]:
    output = StringIO()
    call_command("demo_users", *arguments, stdout=output)
    return json.loads(output.getvalue())


def test_passwords_are_told_once_and_work():
    passwords = demo_users()
    for name, role in (("trader", Role.TRADER), ("support", Role.SUPPORT)):
        user = authenticate(username=name, password=passwords[name])
        assert isinstance(user, User)
        assert user.role == role
    assert demo_users() == {"trader": None, "support": None, "support_totp": None}


def test_lost_passwords_are_replaced():
    before = demo_users()
    after = demo_users("--new-passwords")
    assert authenticate(username="trader", password=before["trader"]) is None
    assert authenticate(username="trader", password=after["trader"]) is not None


def test_support_may_look_at_our_rows_and_change_none():
    demo_users()
    support = User.objects.get(username="support")
    assert support.is_staff
    assert not support.is_superuser
    permissions = support.get_all_permissions()
    assert {"accounts.view_user", "brokers.view_brokerconnection"} <= permissions
    assert {permission.split(".")[1].split("_")[0] for permission in permissions} == {"view"}
    assert not User.objects.get(username="trader").is_staff


def test_there_are_no_demo_users_among_real_brokers(settings: Settings):
    settings.SIMULATED_BROKERS = False
    with pytest.raises(CommandError, match="SIMULATED_BROKERS"):
        demo_users()
    assert not User.objects.exists()
