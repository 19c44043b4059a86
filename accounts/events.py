"""Every event that the audit log knows: the one table of codes and what they mean.

A code is stable, and is never used for anything else later. Details of an event hold no secret, no name and no address
of a person: people are ids, so that an account can be deleted while the log stays whole.
"""

from __future__ import annotations

from django.db.models import TextChoices


class Event(TextChoices):
    LOGIN = "session.login", "Signed in"
    LOGIN_FAILED = "session.login_failed", "A sign-in failed"
    LOGOUT = "session.logout", "Signed out"
    SESSION_REVOKED = "session.revoked", "A session was ended from outside it"
    PASSWORD_CHANGED = "password.changed", "The password was changed"
    EMAIL_CHANGED = "email.changed", "The e-mail address was changed"
    EMAIL_CONFIRMED = "email.confirmed", "The e-mail address was confirmed"
    FACTOR_ADDED = "factor.added", "A second factor was added"
    FACTOR_REMOVED = "factor.removed", "A second factor was removed"
    FACTOR_RESET = "factor.reset", "A second factor was made anew"
    FACTOR_USED = "factor.used", "A second factor was used"
    FACTOR_REFUSED = "factor.refused", "A second factor was wrong"
    DEVICE_TRUSTED = "device.trusted", "A device was trusted"
    DEVICE_REVOKED = "device.revoked", "A device is trusted no longer"
    API_TOKEN_ISSUED = "api_token.issued", "An API token was issued"
    API_TOKEN_REVOKED = "api_token.revoked", "An API token was revoked"
    API_TOKEN_REUSED = "api_token.reused", "A spent refresh token was used again"

    INVITED = "account.invited", "Somebody was invited"
    ACCOUNT_CREATED = "account.created", "The account was made"
    ROLE_CHANGED = "account.role_changed", "Role, staff or active status was changed"
    PERMISSIONS_CHANGED = "account.permissions_changed", "Groups or permissions were changed"
    ACCOUNT_EXPORTED = "account.exported", "The account's data was exported"
    DELETION_ASKED = "account.deletion_asked", "The account's deletion was asked for"
    ACCOUNT_DELETED = "account.deleted", "The account was deleted"

    BROKER_CONNECTED = "broker.connected", "An account was connected, or logged in to again"
    BROKER_DISCONNECTED = "broker.disconnected", "An account was disconnected"
    BROKER_RENAMED = "broker.renamed", "A connection was renamed"
    BROKER_ADDRESS = "broker.registered_address", "A connection's registered address was entered"
    BROKER_RENEWED = "broker.session_renewed", "A session was renewed without a login"
    BROKER_CALLS = "broker.calls", "The token was used: calls of one hour by class"
    TRADING_ENABLED = "broker.trading_enabled", "Trading was turned on at a connection"
    TRADING_DISABLED = "broker.trading_disabled", "Trading was turned off at a connection"
    APP_STORED = "broker.app_stored", "API keys were stored"
    APP_FORGOTTEN = "broker.app_forgotten", "API keys were forgotten"
    CONSENT_GIVEN = "consent.given", "Consent was given"
    CONSENT_WITHDRAWN = "consent.withdrawn", "Consent was withdrawn"
    GRANT_GIVEN = "grant.given", "Read access was given to another person"
    GRANT_REVOKED = "grant.revoked", "Read access was taken back"

    RATE_CHANGED = "charges.rate_changed", "A rate or a broker's plan was entered or changed"
    CHARGE_TERMS_CHANGED = "charges.terms_changed", "What an account pays was entered or changed"
    ORDER_PLACED = "order.placed", "An order was placed"
    ORDER_CHANGED = "order.changed", "An order was changed"
    ORDER_CANCELLED = "order.cancelled", "An order was cancelled"
    ORDER_APPROVED = "order.approved", "An order was approved"
    ORDER_DECLINED = "order.declined", "An order was not approved"
    ORDER_SETTLED = "order.settled", "An order that was not known was settled by its owner"
    GTT_PLACED = "order.gtt_placed", "An order that waits for a price was placed"
    GTT_CANCELLED = "order.gtt_cancelled", "An order that waits for a price was cancelled"

    TRADING_HALTED = "risk.trading_halted", "Trading was stopped"
    HALT_RAISED = "risk.halt_raised", "More of trading was stopped"
    HALT_ENDED = "risk.halt_ended", "Trading goes on again"

    PROFILE_CHANGED = "setting.profile", "The name that others read was changed"
    REMINDER_CHANGED = "setting.reminder", "The reminder of logins was changed"
    ORDER_SETTINGS = "setting.orders", "Routing and approval of orders were changed"
    LIMIT_CHANGED = "setting.limit", "A limit was changed"
    BREACH_ACKNOWLEDGED = "risk.breach_acknowledged", "Somebody has taken note of a limit that was reached"
    ALERTS_CHANGED = "setting.alerts", "By which ways alerts go out was changed"
    KEYS_ROTATED = "vault.keys_rotated", "Stored secrets were moved under another key"

    SUPPORT_VIEWED = "support.viewed", "Support looked at rows of this person"
    AUDIT_EXPORTED = "audit.exported", "The audit log was exported"
    AUDIT_PRUNED = "audit.pruned", "The oldest events were removed after their time"
