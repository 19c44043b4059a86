"""The readers of the environment, which settings.py alone asks. What fails is told in one line, without its value."""

from __future__ import annotations

import hmac
import os
import shlex
import subprocess
from base64 import urlsafe_b64decode, urlsafe_b64encode
from ipaddress import IPv4Address
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from cryptography.fernet import Fernet, MultiFernet
from django.core.exceptions import ImproperlyConfigured

from brokers.secret import Hidden


def env_text(name: str, default: str | None = None) -> str:
    """A required setting, unless it has a default."""
    value = os.environ.get(name, default)
    if value is None:
        raise ImproperlyConfigured(f"{name} is not set. See docs/operations.md, or start everything with `make demo`.")
    return value


# A process may wait so long for a command that tells a secret.
COMMAND_SECONDS = 10


def env_secret(name: str, default: str | None = None) -> Hidden:
    """A secret from NAME, from the file that NAME_FILE points to, or from what the command NAME_COMMAND writes."""
    path, command = os.environ.get(f"{name}_FILE"), os.environ.get(f"{name}_COMMAND")
    if path is not None and command is not None:
        raise ImproperlyConfigured(f"{name}_FILE and {name}_COMMAND are both set: which one counts?")
    if command is not None:
        return _told_by(f"{name}_COMMAND", command)
    if path is None:
        return Hidden(env_text(name, default))
    try:
        return Hidden(Path(path).read_text().strip())
    except OSError as error:
        raise ImproperlyConfigured(f"{name}_FILE cannot be read: {error.strerror}.") from None


def _told_by(name: str, command: str) -> Hidden:
    """What a command writes, run without a shell. Neither that nor its complaints are shown: it may be in both."""
    try:
        answer = subprocess.run(
            shlex.split(command),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=COMMAND_SECONDS,
            check=True,
        )
        told = Hidden(answer.stdout.decode().strip())
    except subprocess.TimeoutExpired:
        reason = f"did not end within {COMMAND_SECONDS} seconds"
    except subprocess.CalledProcessError as error:
        reason = f"ended with code {error.returncode}"
    except OSError as error:
        reason = f"cannot be run: {error.strerror}"
    except (ValueError, IndexError):  # quotes that do not match, no words at all, or an answer that is no text
        reason = "is not a command, or writes no text"
    else:
        if told:
            return told
        reason = "writes nothing"
    raise ImproperlyConfigured(f"{name} {reason}. Run it by hand as the same user: see docs/operations.md.")


def env_bool(name: str, default: bool = False) -> bool:
    words = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False, "": default}
    value = os.environ.get(name, "").strip().lower()
    if value not in words:
        raise ImproperlyConfigured(f"{name} must be 1 or 0.")
    return words[value]


def env_number(name: str, default: float) -> float:
    try:
        return float(os.environ.get(name, default))
    except ValueError:
        raise ImproperlyConfigured(f"{name} must be a number.") from None


def env_address(name: str) -> str | None:
    """An IPv4 address; None where it is not set."""
    value = os.environ.get(name, "").strip()
    try:
        return str(IPv4Address(value)) if value else None
    except ValueError:
        raise ImproperlyConfigured(f"{name} must be an IPv4 address, such as 203.0.113.7.") from None


def env_list(name: str, default: str = "") -> list[str]:
    return [item.strip() for item in os.environ.get(name, default).split(",") if item.strip()]


def env_keys(name: str) -> list[Hidden]:
    """Fernet keys, the newest first, separated by commas."""
    keys = [Hidden(key.strip()) for key in env_secret(name).split(",") if key.strip()]
    try:
        MultiFernet([Fernet(key) for key in keys])
    except ValueError:
        raise ImproperlyConfigured(
            f"{name} must be Fernet keys, separated by commas: see docs/operations.md."
        ) from None
    return keys


def env_signing_keys(name: str, secret_key: str) -> list[str]:
    """Seeds of Ed25519 keys, the newest first: 32 bytes each in URL-safe base64. Without one, of the secret key."""
    seeds = [seed.strip() for seed in env_secret(name, "").split(",") if seed.strip()]
    try:
        raw = [urlsafe_b64decode(seed + "=" * (-len(seed) % 4)) for seed in seeds]
    except ValueError:
        raw = [b""]
    if any(len(each) != 32 for each in raw):
        raise ImproperlyConfigured(f"{name} must be 32 random bytes each in base64: see docs/operations.md.")
    if not raw:
        raw = [hmac.digest(secret_key.encode(), b"tokens of API clients", "sha256")]
    return [urlsafe_b64encode(each).decode() for each in raw]


def mail_server(url: str) -> SplitResult:
    """`smtp+tls://user:password@host:587` (STARTTLS), `smtps://…:465` (TLS) or `smtp://host:25` (in clear)."""
    try:
        parts = urlsplit(url)
        complete = parts.scheme in ("smtp", "smtps", "smtp+tls") and parts.hostname and parts.port
    except ValueError:
        complete = None
    if not complete:
        raise ImproperlyConfigured("EMAIL_URL must be smtp+tls://user:password@host:port: see docs/operations.md.")
    return parts


def redis_database(url: str, number: int) -> Hidden:
    """The same Redis, another numbered database: cache, queue and channels must not evict one another."""
    return Hidden(urlsplit(url)._replace(path=f"/{number}").geturl())
