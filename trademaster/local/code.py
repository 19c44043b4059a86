"""`make code`: the one-time code that the demo's support user would read off an authenticator app."""

import base64
import sys
import time

from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.twofactor.totp import TOTP

from trademaster.local.run_directory import RunDirectory

DIGITS = 6
PERIOD_SECONDS = 30


def code(secret: str, *, at: float) -> str:
    """The code of a base32 secret at a time, by RFC 6238."""
    key = base64.b32decode(secret)
    # RFC 6238, as authenticator apps know it: by HMAC of SHA-1, which the hash's collisions do not weaken.
    app = TOTP(key, DIGITS, SHA1(), PERIOD_SECONDS, enforce_key_length=False)  # noqa: S303 # nosec B303
    return app.generate(int(at)).decode()


def main() -> int:
    run = RunDirectory.of_this_machine()
    support = run.logins().get("support")
    secret = support.get("totp") if support else None
    if not secret:
        sys.stderr.write(f"{run.demo_file} names no second factor: start the demo with `make demo` first.\n")
        return 1
    sys.stdout.write(f"{code(secret, at=time.time())}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
