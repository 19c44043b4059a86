"""`.run/`: everything one machine's demo remembers. Mode 700; files with secrets 600; one user of it at a time."""

import fcntl
import json
import os
import secrets
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NotRequired, TypedDict

from cryptography.fernet import Fernet

from trademaster.local.environment import SimulatedBroker, Simulation
from trademaster.local.failure import ServiceFailed, explain

VARIABLE = "TRADEMASTER_RUN_DIR"
DEFAULT = Path(".run")


class Login(TypedDict):
    username: str
    password: str
    totp: NotRequired[str]  # the secret behind the second factor's codes, where there is one


class Web(TypedDict):
    url: str
    trader: Login
    support: Login


class Demo(TypedDict):
    """What demo.json holds; `web` is null while only the simulated brokers run."""

    web: Web | None
    control_url: str
    brokers: dict[str, SimulatedBroker]


@dataclass
class RunDirectory:
    path: Path
    _lock: int = -1

    @classmethod
    def of_this_machine(cls) -> "RunDirectory":
        return cls(Path(os.environ.get(VARIABLE) or DEFAULT).resolve())

    @property
    def demo_file(self) -> Path:
        return self.path / "demo.json"

    @property
    def sandbox(self) -> Path:
        return self.path / "sandbox"

    @property
    def sandbox_file(self) -> Path:
        return self.sandbox / "brokers.json"

    @staticmethod
    def written_at(path: Path) -> float | None:
        """Seconds since the epoch; None when there is no such file."""
        try:
            return path.stat().st_mtime
        except OSError:
            return None

    def take(self) -> None:
        """Make the directory ours alone until this process ends. Raises ServiceFailed."""
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.path.chmod(0o700)
            # Not inheritable: a child that outlives us for a moment must not hold the next run up.
            self._lock = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ServiceFailed(
                f"A demo is already running in {self.path}: stop it, or set {VARIABLE} for another."
            ) from error
        except OSError as error:
            raise ServiceFailed(f"Cannot use {self.path}: {explain(str(error))}.") from error

    def key(self, name: str, made_by: Any) -> str:
        """A secret made once and kept. Raises ServiceFailed when it cannot be read or written."""
        path = self.path / name
        try:
            if not path.exists():
                write_privately(path, made_by())
            return path.read_text().strip()
        except OSError as error:
            raise ServiceFailed(f"Cannot keep a key in {path}: {explain(str(error))}.") from error

    def secret_key(self) -> str:
        return self.key("secret_key", lambda: secrets.token_urlsafe(48))

    def field_encryption_key(self) -> str:
        return self.key("field_encryption_key", lambda: Fernet.generate_key().decode())

    def simulation(self) -> Simulation:
        """What the simulated brokers wrote when they were ready. Raises ServiceFailed."""
        path = self.sandbox_file
        try:
            simulation: Simulation = json.loads(path.read_text())
        except (OSError, ValueError) as error:
            raise ServiceFailed(f"The simulated brokers left no readable {path}.") from error
        return simulation

    def logins(self) -> dict[str, Login]:
        """The demo users' logins from the last run, by role; empty when there are none."""
        try:
            web = json.loads(self.demo_file.read_text())["web"]
            return {role: _login(web[role]) for role in ROLES}
        except (OSError, ValueError, KeyError, TypeError):
            return {}

    def write_demo(self, simulation: Simulation, web: Web | None) -> None:
        """Raises ServiceFailed."""
        demo = Demo(web=web, control_url=simulation["control_url"], brokers=simulation["brokers"])
        try:
            write_privately(self.demo_file, json.dumps(demo, indent=2) + "\n")
        except OSError as error:
            raise ServiceFailed(f"Cannot write {self.demo_file}: {explain(str(error))}.") from error


ROLES = ("trader", "support")


def _login(known: dict[str, str]) -> Login:
    login = Login(username=known["username"], password=known["password"])
    if "totp" in known:
        login["totp"] = known["totp"]
    return login


def write_privately(path: Path, text: str) -> None:
    """Replace the file in one step, mode 600: a reader sees the old text or the new, never half."""
    descriptor, name = tempfile.mkstemp(dir=path.parent)  # mode 600 by definition
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
