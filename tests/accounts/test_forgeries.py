"""Tokens that are forged, and the keys that sign the good ones."""

from __future__ import annotations

import base64
import hmac
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any
from uuid import uuid4

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from django.conf import settings as installed
from django.core.exceptions import ImproperlyConfigured
from django.utils import timezone
from pytest_django import Settings

from accounts import access_tokens
from accounts.access_tokens import ACCESS, REFRESH
from accounts.models import ApiSession, User
from tests.accounts.api_door import PORTFOLIO, REMINDER, ask, begun, code_of, lets_in, refresh
from tests.conftest import signed_in
from trademaster.environment import env_signing_keys

pytestmark = pytest.mark.usefixtures("nothing_counted")


def our_key() -> tuple[str, Ed25519PrivateKey]:
    return next(iter(access_tokens._ring(tuple(installed.JWT_KEYS)).items()))


def part(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


@dataclass
class Forge:
    """Makes tokens for a session as we do, or not quite."""

    session: ApiSession
    use: str

    def payload(self, **changed: Any) -> dict[str, Any]:
        now = int(timezone.now().timestamp())
        good = {
            **{"iss": installed.PUBLIC_URL, "aud": f"{installed.PUBLIC_URL}/api/v1", "sub": str(self.session.user_id)},
            **{"sid": str(self.session.pk), "gen": 1, "scope": "trade", "iat": now, "exp": now + 300, "jti": "x"},
        }
        return {name: value for name, value in {**good, **changed}.items() if value is not None}

    def signed(self, algorithm: str = "EdDSA", key: Any = None, headers: Any = None, **changed: Any) -> str:
        kid, ours = our_key()
        named = {name: each for name, each in {"kid": kid, "typ": self.use, **(headers or {})}.items() if each}
        return jwt.encode(self.payload(**changed), key or ours, algorithm=algorithm, headers=named)

    def unsigned(self, algorithm: str) -> str:
        head = json.dumps({"alg": algorithm, "typ": self.use, "kid": our_key()[0]}).encode()
        return f"{part(head)}.{part(json.dumps(self.payload()).encode())}."

    def by_our_public_key(self) -> str:
        """HS256 with our public key as the secret: what a verifier takes that lets the header choose."""
        text = self.unsigned("HS256").removesuffix(".")
        public = our_key()[1].public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        return f"{text}.{part(hmac.digest(public, text.encode(), sha256))}"

    def tampered(self) -> str:
        """What a token says, under the signature of another."""
        head, _, signature = self.signed(scope="read").split(".")
        return f"{head}.{self.signed().split('.')[1]}.{signature}"

    def of_the_other_use(self) -> str:
        return replace(self, use=ACCESS if self.use == REFRESH else REFRESH).signed()


FORGERIES: dict[str, Callable[[Forge], str]] = {
    "alg none": lambda forge: forge.unsigned("none"),
    "alg nOnE": lambda forge: forge.unsigned("nOnE"),
    "alg confusion, our public key": Forge.by_our_public_key,
    "alg confusion, our secret key": lambda forge: forge.signed("HS256", installed.SECRET_KEY * 2),
    "another algorithm": lambda forge: forge.signed("RS256", generate_private_key(65537, 2048)),
    "another key": lambda forge: forge.signed(key=Ed25519PrivateKey.generate()),
    "unknown kid": lambda forge: forge.signed(headers={"kid": "0" * 16}),
    "kid that is a path": lambda forge: forge.signed(headers={"kid": "../../etc/passwd"}),
    "no kid": lambda forge: forge.signed(headers={"kid": None}),
    "a key that it brings along": lambda forge: forge.signed(
        key=Ed25519PrivateKey.generate(), headers={"jwk": {"kty": "OKP"}, "jku": "http://127.0.0.1:1/keys"}
    ),
    "tampered": Forge.tampered,
    "another issuer": lambda forge: forge.signed(iss="https://evil.example"),
    "another audience": lambda forge: forge.signed(aud="https://evil.example/api/v1"),
    "no audience": lambda forge: forge.signed(aud=None),
    "no hour": lambda forge: forge.signed(exp=None),
    "not yet": lambda forge: forge.signed(nbf=int(timezone.now().timestamp()) + 3600),
    "the other use": Forge.of_the_other_use,
    "another user's session": lambda forge: forge.signed(sub=str(forge.session.user_id + 1)),
    "no such session": lambda forge: forge.signed(sid=str(uuid4())),
    "a session that is no id": lambda forge: forge.signed(sid="1; DROP TABLE users"),
    "a user that is no id": lambda forge: forge.signed(sub="carol"),
    "a user beyond any": lambda forge: forge.signed(sub="9" * 30),
    "no token at all": lambda forge: "a.b.c",
    "not even ASCII": lambda forge: "\xff.\xff.\xff",
}


class TestForgeries:
    @pytest.fixture
    def session(self, carol: User) -> ApiSession:
        begun(carol)
        return ApiSession.objects.get()

    def test_the_forge_makes_good_ones_too(self, session: ApiSession) -> None:
        assert lets_in(Forge(session, ACCESS).signed())
        assert refresh(Forge(session, REFRESH).signed()).status_code == 200

    @pytest.mark.parametrize("name", FORGERIES)
    def test_forged(self, name: str, session: ApiSession) -> None:
        answer = ask("get", PORTFOLIO, FORGERIES[name](Forge(session, ACCESS)))
        assert code_of(answer) == (401, "token_refused")
        assert answer["WWW-Authenticate"] == "Bearer"

    @pytest.mark.parametrize("name", FORGERIES)
    def test_forged_to_refresh(self, name: str, session: ApiSession) -> None:
        assert code_of(refresh(FORGERIES[name](Forge(session, REFRESH)))) == (401, "token_refused")
        assert ApiSession.objects.get().generation == 1

    def test_a_scope_in_the_token_is_not_what_counts(self, session: ApiSession) -> None:
        token = Forge(session, ACCESS).signed(scope="trade")
        assert code_of(ask("put", REMINDER, token, {})) == (403, "scope_missing")

    def test_a_good_cookie_does_not_help_a_bad_token(self, carol: User) -> None:
        browser = signed_in(carol)
        assert browser.get(PORTFOLIO).status_code == 200
        for shown in ("Bearer a.b.c", "Bearer", "Bearer "):
            assert code_of(browser.get(PORTFOLIO, headers={"Authorization": shown})) == (401, "token_refused")


class TestKeys:
    def test_another_key_signs_and_the_old_one_is_still_believed(self, carol: User, settings: Settings) -> None:
        before = begun(carol)["access_token"]
        new = base64.urlsafe_b64encode(b"n" * 32).decode()
        settings.JWT_KEYS = [new, *settings.JWT_KEYS]
        after = begun(carol)["access_token"]
        assert jwt.get_unverified_header(after)["kid"] != jwt.get_unverified_header(before)["kid"]
        assert lets_in(before)
        assert lets_in(after)
        settings.JWT_KEYS = [new]
        assert not lets_in(before)
        assert lets_in(after)

    def test_without_a_key_one_is_made_of_the_secret_key(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("JWT_KEYS", raising=False)
        one, other = (env_signing_keys("JWT_KEYS", secret) for secret in ("one", "other"))
        assert one == env_signing_keys("JWT_KEYS", "one") != other
        monkeypatch.setenv("JWT_KEYS", f"{one[0].rstrip('=')}, {other[0]}")
        assert env_signing_keys("JWT_KEYS", "x") == [*one, *other]

    @pytest.mark.parametrize("bad", ["short", "é", "A" * 42])
    def test_a_bad_key_stops_the_start(self, bad: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("JWT_KEYS", bad)
        with pytest.raises(ImproperlyConfigured, match="JWT_KEYS") as caught:
            env_signing_keys("JWT_KEYS", "x")
        assert bad not in str(caught.value)
