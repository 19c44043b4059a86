"""What the audit log hears from code that is not ours, by its signals.

`HEARD` is the table: which signal is which event, and how its arguments are read. A row whose app is not installed is
passed over; one whose signal does not exist stops the start. That of a password is not in it: whoever changes one saves
the user's row, which is heard below.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from django.apps import apps
from django.contrib.auth.models import Group
from django.db.models import Q
from django.db.models.signals import m2m_changed, post_save, pre_save
from django.dispatch import Signal
from django.utils.module_loading import import_string

from accounts import audit
from accounts.audit import Happened
from accounts.events import Event
from accounts.models import User

Reader = Callable[[Event, Mapping[str, Any]], Happened | None]


def by_user(event: Event, sent: Mapping[str, Any]) -> Happened | None:
    """`user` is whom it concerns; nobody, where a session ends that was nobody's."""
    user = sent.get("user")
    return Happened(event=event, subject=user.pk) if user is not None else None


def by_credentials(event: Event, sent: Mapping[str, Any]) -> Happened:
    """`credentials` are what was typed, and may be a password in the wrong field: only whom they name is kept."""
    typed = sent["credentials"]
    name, address = typed.get(User.USERNAME_FIELD), typed.get(User.EMAIL_FIELD)
    whose = Q(username=name) if name else Q(email__iexact=address) if address else Q(pk=None)
    return Happened(event=event, subject=User.objects.filter(whose).values_list("pk", flat=True).first())


def by_factor(event: Event, sent: Mapping[str, Any]) -> Happened:
    """`authenticator` is a second factor of `user`; None where none is known."""
    factor = sent["authenticator"]
    if factor is None:
        return Happened(event=event, subject=sent["user"].pk)
    return Happened(
        event=event, subject=sent["user"].pk, thing=("factor", factor.pk), details={"kind": str(factor.type)}
    )


def by_address(event: Event, sent: Mapping[str, Any]) -> Happened:
    """`email_address` is an address of somebody's; the address itself is not kept."""
    return Happened(event=event, subject=sent["email_address"].user_id)


def by_credential(event: Event, sent: Mapping[str, Any]) -> Happened:
    """`credential` is the row of a login of an API client, or of a personal token, of `user`."""
    row = sent["credential"]
    thing = (str(row._meta.model_name), row.pk)
    return Happened(event=event, subject=sent["user"].pk, thing=thing, details={"scope": str(row.scope)})


# app → signal → event and reader
HEARD: dict[str, dict[str, tuple[Event, Reader]]] = {
    "django.contrib.auth": {
        "django.contrib.auth.signals.user_logged_in": (Event.LOGIN, by_user),
        "django.contrib.auth.signals.user_logged_out": (Event.LOGOUT, by_user),
        "django.contrib.auth.signals.user_login_failed": (Event.LOGIN_FAILED, by_credentials),
    },
    "accounts": {
        "accounts.credentials.issued": (Event.API_TOKEN_ISSUED, by_credential),
        "accounts.credentials.revoked": (Event.API_TOKEN_REVOKED, by_credential),
        "accounts.credentials.reused": (Event.API_TOKEN_REUSED, by_credential),
    },
    "allauth.account": {
        "allauth.account.signals.email_changed": (Event.EMAIL_CHANGED, by_user),
        "allauth.account.signals.email_confirmed": (Event.EMAIL_CONFIRMED, by_address),
    },
    "allauth.mfa": {
        "allauth.mfa.signals.authenticator_added": (Event.FACTOR_ADDED, by_factor),
        "allauth.mfa.signals.authenticator_removed": (Event.FACTOR_REMOVED, by_factor),
        "allauth.mfa.signals.authenticator_reset": (Event.FACTOR_RESET, by_factor),
        "allauth.mfa.signals.authenticator_used": (Event.FACTOR_USED, by_factor),
        "allauth.mfa.signals.authentication_failed": (Event.FACTOR_REFUSED, by_factor),
    },
}


def listen() -> None:
    """Connect every row of the table, and the receivers of what becomes of a user's row."""
    for app, signals in HEARD.items():
        if not apps.is_installed(app):
            continue
        for path, (event, read) in signals.items():
            signal: Signal = import_string(path)
            signal.connect(_receiver(event, read), weak=False, dispatch_uid=f"audit:{path}")
    pre_save.connect(_before_saving, User, dispatch_uid="audit:before-saving")
    post_save.connect(_after_saving, User, dispatch_uid="audit:after-saving")
    for many in (User.groups.through, User.user_permissions.through):
        m2m_changed.connect(_permissions_changed, many, dispatch_uid=f"audit:{many.__name__}")
    m2m_changed.connect(_group_changed, Group.permissions.through, dispatch_uid="audit:group")


def _receiver(event: Event, read: Reader) -> Callable[..., None]:
    def receive(sender: Any, **sent: Any) -> None:
        happened = read(event, sent)
        if happened is not None:
            actor = sent.get("user") if event in (Event.LOGIN, Event.LOGOUT, Event.API_TOKEN_ISSUED) else None
            audit.record_all([happened], actor=actor)

    return receive


# --- a user's row, whoever writes it: the admin, a command, a library -------------------------------------------------
WATCHED = ("role", "is_staff", "is_superuser", "is_active")


def _before_saving(sender: type[User], instance: User, raw: bool, update_fields: Any, **sent: Any) -> None:
    """Note what this save changes; most saves write none of it, and cost no question."""
    written = set(WATCHED if update_fields is None else update_fields) & set(WATCHED)
    if raw or instance.pk is None or not written:
        return
    before = User.objects.filter(pk=instance.pk).values(*WATCHED).first() or {}
    instance._audited = {  # type: ignore[attr-defined]
        name: [before[name], getattr(instance, name)]
        for name in WATCHED
        if name in written and before and before[name] != getattr(instance, name)
    }


def _after_saving(sender: type[User], instance: User, created: bool, raw: bool, **sent: Any) -> None:
    if raw:
        return
    changed: dict[str, Any] = instance.__dict__.pop("_audited", {})
    happened = []
    if created:
        facts: dict[str, Any] = {name: getattr(instance, name) for name in WATCHED}
        happened.append(Happened(event=Event.ACCOUNT_CREATED, subject=instance.pk, details=facts))
    elif getattr(instance, "_password", None) is not None:  # set, and not merely hashed anew at a login
        happened.append(Happened(event=Event.PASSWORD_CHANGED, subject=instance.pk))
    if changed:
        happened.append(Happened(event=Event.ROLE_CHANGED, subject=instance.pk, details=changed))
    audit.record_all(happened)


def _permissions_changed(sender: Any, instance: Any, action: str, reverse: bool, pk_set: Any, **sent: Any) -> None:
    """`reverse` is from the side of the group or permission: then `pk_set` are the people."""
    if action not in ("post_add", "post_remove", "pre_clear"):
        return
    kind = "group" if sender is User.groups.through else "permission"
    others = instance.user_set if reverse else getattr(instance, _MANY[kind])
    ids = sorted(others.values_list("pk", flat=True) if pk_set is None else pk_set)
    people, things = (ids, [instance.pk]) if reverse else ([instance.pk], ids)
    details: dict[str, Any] = {"action": action.partition("_")[2], "kind": kind, "ids": things}
    if ids:
        audit.record_all(
            [Happened(event=Event.PERMISSIONS_CHANGED, subject=person, details=details) for person in people]
        )


def _group_changed(sender: Any, instance: Any, action: str, reverse: bool, pk_set: Any, **sent: Any) -> None:
    """What a group may do, for all its people; `instance` is the permission where `reverse`."""
    if action not in ("post_add", "post_remove", "pre_clear"):
        return
    kind = "permission" if reverse else "group"
    details: dict[str, Any] = {"action": action.partition("_")[2], "ids": sorted(pk_set or ())}
    if pk_set or action == "pre_clear":
        audit.record(Event.PERMISSIONS_CHANGED, thing=(kind, instance.pk), **details)


_MANY = {"group": "groups", "permission": "user_permissions"}
