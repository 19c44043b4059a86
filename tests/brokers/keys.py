"""An installation whose keys change: what stands under which, and processes with other keys."""

from __future__ import annotations

import os
import subprocess
import sys
from io import StringIO
from pathlib import Path
from urllib.parse import urlsplit

from cryptography.fernet import Fernet, InvalidToken
from django.conf import settings
from django.core.management import call_command
from django.db import connection as database
from django.db import models
from django.test.utils import override_settings

from accounts.models import User
from brokers import vault
from brokers.models import BrokerConnection
from brokers.secret import Secret

ROOT = Path(__file__).parents[2]
NEW = Fernet.generate_key().decode()


def connections(user: User, number: int) -> list[BrokerConnection]:
    return BrokerConnection.objects.bulk_create(
        BrokerConnection(
            user=user,
            broker_type="zerodha",
            account_id=str(index),
            access_token_encrypted=Secret(f"access {index}"),
            refresh_token_encrypted=Secret(f"refresh {index}") if index % 2 else None,
        )
        for index in range(number)
    )


def tokens() -> dict[str, tuple[str, str | None]]:
    """What can be read, by account: raises DecryptionFailed if anything cannot."""
    revealed = {}
    for row in BrokerConnection.objects.iterator():
        access, refresh = row.access_token_encrypted, row.refresh_token_encrypted
        assert access is not None
        revealed[row.account_id] = access.reveal(), refresh and refresh.reveal()
    return revealed


def under_the_newest() -> int:
    """Rows whose every secret stands under the newest key."""
    newest = Fernet(settings.FIELD_ENCRYPTION_KEY[0])

    def is_under_it(text: str) -> bool:
        try:
            return bool(newest.decrypt(text.removeprefix(vault.BOUND)))
        except InvalidToken:
            return False

    with database.cursor() as cursor:
        cursor.execute("SELECT access_token_encrypted, refresh_token_encrypted FROM broker_connections")
        return sum(all(is_under_it(text) for text in row if text is not None) for row in cursor.fetchall())


def under(key: str, row: models.Model, text: str, column: str = "access_token_encrypted") -> str:
    """A ciphertext as a process writes it whose newest key is `key`."""
    secret = vault.placed(row, column, Secret(text))
    assert secret is not None
    with override_settings(FIELD_ENCRYPTION_KEY=[key]):
        return vault.encrypt(secret, secret.place.context)


def write_raw(connection: BrokerConnection, text: str) -> None:
    with database.cursor() as cursor:
        cursor.execute("UPDATE broker_connections SET access_token_encrypted = %s WHERE id = %s", [text, connection.pk])


def environment(*keys: str) -> dict[str, str]:
    """That of a process over the tests' database with other keys. Celery would warn whoever tests as root."""
    address = urlsplit(os.environ["DATABASE_URL"])._replace(path=f"/{database.settings_dict['NAME']}").geturl()
    return os.environ | {
        "DATABASE_URL": address,
        "FIELD_ENCRYPTION_KEYS": ",".join(keys),
        "PYTHONWARNINGS": "ignore",
    }


def manage(*arguments: str) -> list[str]:
    return [sys.executable, "manage.py", *arguments]


def run(command: list[str], *keys: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, cwd=ROOT, env=environment(*keys), capture_output=True, text=True, timeout=60, check=False
    )


def rotate_here(**options: object) -> str:
    output = StringIO()
    call_command("rotate_keys", stdout=output, stderr=output, **options)
    return output.getvalue()
