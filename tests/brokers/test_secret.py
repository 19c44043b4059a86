"""A secret cannot be printed by accident, however hard one tries."""

from __future__ import annotations

import copy
import json
import pickle
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import msgspec
import pytest

from accounts.models import User
from brokers.domain import AppCredentials, Session
from brokers.models import BrokerConnection
from brokers.secret import Hidden, Secret
from brokers.vault import Place, PlacedSecret

WORD = "correct-horse-battery"


@pytest.mark.parametrize(
    "printed",
    [
        str(Secret(WORD)),
        repr(Secret(WORD)),
        f"{Secret(WORD)}",
        f"{Secret(WORD)!r:>40}",
        f"{Secret(WORD):>40}",
        "%s %r" % (Secret(WORD), Secret(WORD)),  # noqa: UP031 - logging formats so
        str([Secret(WORD)]),
        str({"token": Secret(WORD)}),
        repr(Session(access_token=Secret(WORD), refresh_token=Secret(WORD), feed_token=Secret(WORD))),
        repr(AppCredentials(api_key=Secret(WORD), api_secret=Secret(WORD), extra={"pin": Secret(WORD)})),
        str(dir(Secret(WORD))),
        json.dumps({"token": Secret(WORD)}, default=str),
        msgspec.json.encode({"token": Secret(WORD)}, enc_hook=str).decode(),
        repr(Secret(Hidden(WORD))),
        repr(PlacedSecret(Secret(WORD), Place("table", "column", ("1",)))),
    ],
)
def test_it_is_not_printed(printed: str) -> None:
    assert WORD not in printed


@pytest.mark.parametrize("take", [pickle.dumps, copy.copy, copy.deepcopy, vars, json.dumps, msgspec.json.encode])
@pytest.mark.parametrize("secret", [Secret(WORD), PlacedSecret(Secret(WORD), Place("table", "column", ("1",)))])
def test_it_is_not_taken_along(take: Callable[[Any], Any], secret: Secret) -> None:
    with pytest.raises(TypeError) as caught:
        take(secret)
    assert WORD not in str(caught.value)


def test_a_row_that_holds_one_is_not_pickled(alice: User) -> None:
    row = BrokerConnection(user=alice, broker_type="zerodha", account_id="A1", access_token_encrypted=WORD)
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(row)
    assert WORD not in repr(vars(row))


def test_a_session_does_not_become_a_dict() -> None:
    with pytest.raises(TypeError):
        asdict(Session(access_token=Secret(WORD)))


def test_it_is_revealed_on_request() -> None:
    assert Secret(WORD).reveal() == WORD


def test_equal_secrets_are_equal_and_nothing_else_is() -> None:
    assert Secret(WORD) == Secret(WORD)
    assert hash(Secret(WORD)) == hash(Secret(WORD))
    assert Secret(WORD) != Secret("other")
    assert Secret(WORD) != WORD
    assert Secret("päß") == Secret("päß")
    assert (bool(Secret(WORD)), bool(Secret(""))) == (True, False)
