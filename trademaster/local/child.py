"""How a child process is born here: in its own session, dying with its parent, never as root where it must not be.

Everything in the returned callables runs between fork and exec, so they only make system calls.
"""

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_CLONE_NEWUSER = 0x10000000
_NAMESPACE_ID = 1000
NOBODY = 65534

# Loaded here: between fork and exec a library load could deadlock.
_libc = ctypes.CDLL(None, use_errno=True)

Step = Callable[[], None]


@dataclass(frozen=True)
class Identity:
    """As whom a child runs. `owner` must own its files; None means: as ourselves."""

    name: str
    assume: Step | None = None
    owner: int | None = None


def _enter_user_namespace() -> None:
    """Keep root's files and give up root's number: outside uid 0 is uid 1000 inside."""
    if _libc.unshare(_CLONE_NEWUSER):
        raise OSError(ctypes.get_errno(), "unshare")
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{_NAMESPACE_ID} 0 1")
    Path("/proc/self/gid_map").write_text(f"{_NAMESPACE_ID} 0 1")


def _become_nobody() -> None:
    os.setgroups([])
    os.setgid(NOBODY)
    os.setuid(NOBODY)


OURSELVES = Identity("ourselves")
NAMESPACE = Identity("user namespace", _enter_user_namespace)
NOBODY_USER = Identity("nobody", _become_nobody, owner=NOBODY)


def identity_for(binary: Path) -> Identity | None:
    """Who can run a binary that refuses root; None when root finds no way."""
    if os.geteuid() != 0:
        return OURSELVES
    return next((who for who in (NAMESPACE, NOBODY_USER) if _can_run(binary, who)), None)


def _can_run(binary: Path, identity: Identity) -> bool:
    try:
        result = subprocess.run([binary, "--version"], preexec_fn=identity.assume, capture_output=True, check=False)
    except (OSError, subprocess.SubprocessError):
        return False
    return result.returncode == 0


def birth(death_signal: signal.Signals, identity: Identity = OURSELVES) -> Step:
    """What a child does before exec: leave the terminal, change identity, and ask to die with its parent.

    The kernel forgets the death signal when credentials change, so it is set last.
    """
    parent = os.getpid()

    def prepare() -> None:
        os.setsid()
        if identity.assume is not None:
            identity.assume()
        if sys.platform == "linux":
            _libc.prctl(_PR_SET_PDEATHSIG, int(death_signal))
            if identity.assume is not _enter_user_namespace and os.getppid() != parent:
                os._exit(1)

    return prepare


def spawn(
    command: Sequence[str | Path],
    log: Path,
    death_signal: signal.Signals,
    identity: Identity = OURSELVES,
    environment: Mapping[str, str] | None = None,
) -> subprocess.Popen[bytes]:
    """Start a background child whose output is appended to `log`. Raises OSError."""
    with log.open("ab") as output:
        return subprocess.Popen(
            [str(part) for part in command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environment,
            preexec_fn=birth(death_signal, identity),
        )


def stop(process: subprocess.Popen[bytes], how: signal.Signals, patience: float) -> None:
    """Ask once, wait, then insist."""
    if process.poll() is None:
        process.send_signal(how)
        try:
            process.wait(patience)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
