"""What the switchboard offers: one table of switches, and the four that stand at its top."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

ANY = "any"
# A broker that fails is asked less and less often, but every ten minutes (brokers/breaker.py).
SOON_BACK = "within a minute or two, or up to ten where it was away for long"


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """One switch of a simulated broker, in the words of its buttons.

    `fault` is its name in the control API; without one the sessions at the broker are ended, which only a login mends.
    `sign` is what stands beside a switch that is on; `over` follows the broker's name once it is off. `does`, `watch`
    and `after`, what whoever is connected there sees once it is off, are whole sentences.
    """

    code: str
    title: str
    begin: str
    end: str
    sign: str
    does: str
    watch: str
    over: str = ""
    after: str = ""
    fault: str = ""
    parameters: Mapping[str, object] = field(default_factory=dict)


KILL = Act(
    code="kill",
    title="Killed",
    begin="Kill",
    end="Revive",
    sign="nobody listens",
    over="is revived",
    after=f"It comes back by itself, {SOON_BACK}.",
    fault="down",
    does="Nobody listens at the broker’s address: every call fails, and its stream breaks off.",
    watch="Its card turns to Failing, the totals keep its last numbers and say how old they are. Revived, it comes "
    f"back by itself, {SOON_BACK}.",
)
RATE_LIMIT = Act(
    code="rate_limit",
    title="429",
    begin="429",
    end="Let calls in",
    sign="calls refused",
    over="lets calls in again",
    fault="rate_limit",
    does="The broker answers every call with “too many requests”.",
    watch="Its card turns to Rate limited, and it is left alone for longer and longer. Nothing is asked of it in vain.",
)
LOST_REPLY = Act(
    code="lost_reply",
    title="Reply lost",
    begin="Lose a reply",
    end="Disarm",
    sign="armed",
    over="answers every order again",
    fault="lost_reply",
    parameters={"count": 1},
    does="The next order reaches the exchange, and the broker’s reply is cut off.",
    watch="Place an order: it is not known, is sent to nobody again, and is found in the broker’s own book, once.",
)
EXPIRE = Act(
    code="expire",
    title="Session ended",
    begin="Expire",
    end="Log in",
    sign="no session",
    does="The broker ends every session of the account, as it does each morning.",
    watch="Its card turns to Login needed, and its last numbers stay, marked. A new login mends it, or, at "
    "IIFL (XTS), the stored keys by themselves.",
)
STREAM_DOWN = Act(
    code="stream_down",
    title="Stream stopped",
    begin="Stop stream",
    end="Let it stream",
    sign="no stream",
    over="streams again",
    fault="stream_down",
    does="The broker closes its stream and lets nobody in; its other calls work.",
    watch="Prices go on from another broker’s stream. With every stream stopped the page says that prices stand still.",
)
MAINTENANCE = Act(
    code="maintenance",
    title="Maintenance",
    begin="Close",
    end="Reopen",
    sign="in maintenance",
    over="is open again",
    fault="maintenance",
    does="The broker says that it is closed for maintenance.",
    watch="Its card turns to In maintenance. It is asked seldom, and nobody is alarmed as if it had failed.",
)
ACTS = (KILL, RATE_LIMIT, LOST_REPLY, EXPIRE, STREAM_DOWN, MAINTENANCE)
BY_CODE: Mapping[str, Act] = {act.code: act for act in ACTS}


@dataclass(frozen=True, slots=True, kw_only=True)
class Big:
    """One of the four that show the most in half a minute. `broker` is a slug, or ANY."""

    act: Act
    broker: str
    title: str
    watch: str


FOUR = (
    Big(
        act=KILL,
        broker="zerodha",
        title="Kill Zerodha",
        watch="The total stays. Zerodha’s card turns to Failing within half a minute, its numbers are marked with "
        "their age, and revived it comes back by itself.",
    ),
    Big(
        act=RATE_LIMIT,
        broker="fyers",
        title="429 at Fyers",
        watch="Fyers’ card turns to Rate limited, and the other brokers’ numbers move on. Fyers is left alone, and "
        "not hammered.",
    ),
    Big(
        act=LOST_REPLY,
        broker=ANY,
        title="Lose the next order reply",
        watch="Place an order: it is UNKNOWN for some seconds, is sent to nobody again, and is found in the broker’s "
        "book by its tag. No duplicate.",
    ),
    Big(
        act=EXPIRE,
        broker="groww",
        title="Expire Groww",
        watch="Groww’s card asks for a login, its last numbers stay in the total, marked. Log in at Logins to mend it.",
    ),
)
