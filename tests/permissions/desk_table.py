"""What support and administrators may do with each table in the admin: one line per model.

Support here is whoever is in the group of `demo_users.support_group`, which may look at everything of ours and change
nothing. An administrator is a superuser. A model that is not named here fails the test.
"""

from __future__ import annotations

from dataclasses import dataclass, field

VIEW, ADD, CHANGE, DELETE = "view", "add", "change", "delete"
NOTHING: frozenset[str] = frozenset()
LOOK = frozenset({VIEW})
ALL = frozenset({VIEW, ADD, CHANGE, DELETE})


@dataclass(frozen=True)
class May:
    support: frozenset[str] = LOOK
    admin: frozenset[str] = LOOK
    # Actions of the list, by who is offered them; addresses beyond the usual six, by what they get there.
    support_actions: frozenset[str] = NOTHING
    admin_actions: frozenset[str] = NOTHING
    extra: dict[str, tuple[str, str]] = field(default_factory=dict)


ONLY_LOOK = May()
# Tables of libraries: the support group has no rights there.
NOT_SUPPORTS = May(support=NOTHING)
# Dated rows: what is over gets a last day, and stays.
ADDED_TO = May(admin=frozenset({VIEW, ADD, CHANGE}))

DESK: dict[str, May] = {
    "auth/group": May(support=NOTHING, admin=ALL, admin_actions=frozenset({"delete_selected"})),
    "accounts/user": May(
        admin=ALL,
        admin_actions=frozenset({"delete_selected"}),
        extra={"<id>/password/": ("403", "200")},
    ),
    "accounts/invitation": May(admin=frozenset({VIEW, ADD, DELETE}), admin_actions=frozenset({"delete_selected"})),
    "accounts/auditentry": ONLY_LOOK,
    "accounts/auditcheckpoint": ONLY_LOOK,
    "accounts/accountdeletion": ONLY_LOOK,
    "accounts/trusteddevice": ONLY_LOOK,
    "accounts/signinplace": ONLY_LOOK,
    "accounts/apisession": ONLY_LOOK,
    "accounts/personaltoken": ONLY_LOOK,
    "accounts/alertroute": ONLY_LOOK,
    "accounts/alertdelivery": ONLY_LOOK,
    "mfa/authenticator": NOT_SUPPORTS,
    "usersessions/usersession": NOT_SUPPORTS,
    "account/emailaddress": NOT_SUPPORTS,
    "brokers/brokerconnection": ONLY_LOOK,
    "brokers/connectionchange": ONLY_LOOK,
    "brokers/brokerpostback": ONLY_LOOK,
    "brokers/postbackinbox": ONLY_LOOK,
    "brokers/brokerapp": ONLY_LOOK,
    "brokers/oauthstate": ONLY_LOOK,
    "brokers/loginreminder": ONLY_LOOK,
    "brokers/connectionconsent": ONLY_LOOK,
    "brokers/connectiongrant": ONLY_LOOK,
    "brokers/replydrift": ONLY_LOOK,
    "brokers/replyshape": ONLY_LOOK,
    "brokers/keyproof": ONLY_LOOK,
    "brokers/alertwebhook": ONLY_LOOK,
    "market/instrument": ONLY_LOOK,
    "market/instrumentlisting": ONLY_LOOK,
    "market/instrumentdispute": ONLY_LOOK,
    "market/masterload": ONLY_LOOK,
    "market/dailycandle": ONLY_LOOK,
    "market/candlefill": ONLY_LOOK,
    "market/sector": ONLY_LOOK,
    "market/marketday": May(admin=ALL, admin_actions=frozenset({"delete_selected"})),
    "orders/orderintent": ONLY_LOOK,
    "orders/childorder": ONLY_LOOK,
    "orders/orderevent": ONLY_LOOK,
    "orders/routingdecision": ONLY_LOOK,
    "orders/fill": ONLY_LOOK,
    "orders/seenorder": ONLY_LOOK,
    "orders/gttorder": ONLY_LOOK,
    "orders/ordergroup": ONLY_LOOK,
    "orders/ordersettings": ONLY_LOOK,
    "orders/idempotencykey": ONLY_LOOK,
    "orders/contractnote": ONLY_LOOK,
    "orders/haltprogress": ONLY_LOOK,
    "orders/statutoryrate": ADDED_TO,
    "orders/brokerplan": ADDED_TO,
    "orders/accountterms": ADDED_TO,
    "health/brokerhealthlog": ONLY_LOOK,
    "health/incident": ONLY_LOOK,
    "health/checkschedule": ONLY_LOOK,
    "health/healthrollup": ONLY_LOOK,
    "health/brokerrollup": ONLY_LOOK,
    "health/healthcursor": ONLY_LOOK,
    "portfolio/consolidatedposition": ONLY_LOOK,
    "portfolio/brokerpositionbreakdown": ONLY_LOOK,
    "portfolio/unmatchedinstrument": ONLY_LOOK,
    "portfolio/brokersnapshot": ONLY_LOOK,
    "portfolio/risklimit": ONLY_LOOK,
    "portfolio/riskbreach": ONLY_LOOK,
    "portfolio/limitwatch": ONLY_LOOK,
    "portfolio/tradinghalt": ONLY_LOOK,
    "portfolio/equityday": ONLY_LOOK,
    "portfolio/cashflow": ONLY_LOOK,
    "portfolio/userscenario": ONLY_LOOK,
}

# Each request that can be made of a model's pages: the right it needs, and what whoever has it gets. `{list}` and
# `{row}` are the addresses of the list and of the row. What is posted is empty: a form
# comes back and says so; a deletion is confirmed.
LIST, FORM, ROW, REMOVE, PAST = (
    "",
    "add/",
    "<path:object_id>/change/",
    "<path:object_id>/delete/",
    "<path:object_id>/history/",
)
MOVED = "<path:object_id>/"
REQUESTS: dict[tuple[str, str], tuple[str, str]] = {
    ("GET", LIST): (VIEW, "200"),
    ("GET", FORM): (ADD, "200"),
    ("POST", FORM): (ADD, "200"),
    ("GET", ROW): (VIEW, "200"),
    ("POST", ROW): (CHANGE, "200"),
    ("GET", REMOVE): (DELETE, "200"),
    ("POST", REMOVE): (DELETE, "302 {list}"),
    ("GET", PAST): (VIEW, "200"),
    # An old spelling of the row's address, that tells nothing.
    ("GET", MOVED): ("", "302 {row}"),
}
# What is a person's can be deleted by nobody here, and so they cannot: `manage.py delete_account` sees to it.
NEVER_DELETED = frozenset({"accounts/user"})
OTHERWISE: dict[tuple[str, str, str], str] = {
    # The page again: it says that orders, which are kept, point at the person.
    ("accounts/user", "POST", REMOVE): "200",
    # Nothing in it must be filled in: an account with no terms of its own pays the usual ones.
    ("orders/accountterms", "POST", ROW): "302 {list}",
    # Whoever may change none of them is not led back to their list.
    ("accounts/invitation", "POST", REMOVE): "302 /admin/",
}
