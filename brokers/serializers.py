"""What the broker API reads and writes. Output never holds a secret: tokens have no field here."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC
from typing import Any, ClassVar
from uuid import UUID

from django.db import models
from django.utils import timezone
from drf_spectacular.utils import extend_schema_field, inline_serializer
from rest_framework import serializers

from brokers import consents, logins, registry
from brokers.agreements import ConnectionGrant
from brokers.lights import plain_clearance
from brokers.models import BrokerApp, BrokerConnection, LoginReminder
from brokers.morning import Need
from brokers.secret import Hidden, Secret
from brokers.spec import APP_FIELDS


class Instant(serializers.DateTimeField):
    """A moment in UTC, as in every other answer; the pages turn it into Indian time."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(default_timezone=UTC, **kwargs)


class BrokerTypeField(serializers.CharField):
    """A broker's slug, in any case. Raises UnsupportedBroker."""

    def to_internal_value(self, data: Any) -> str:
        slug = super().to_internal_value(data).lower()
        registry.load(slug)
        return slug


class InitiateRequest(serializers.Serializer[Any]):
    broker_type = BrokerTypeField(max_length=20)
    redirect_uri = serializers.CharField(
        max_length=500, required=False, help_text="Where the broker returns to; this installation's own page if absent."
    )
    method = serializers.CharField(
        max_length=40, required=False, help_text="A login by form (see `login_methods`) instead of the redirect."
    )
    return_to = serializers.ChoiceField(
        choices=logins.RETURN_PAGES, default="dashboard", help_text="Our page to go back to from our own callback."
    )
    connection_id = serializers.UUIDField(
        required=False, help_text="The connection to mend; a login to another account is accepted, and said."
    )
    consent = serializers.CharField(
        max_length=20,
        required=False,
        help_text="The version of the consent text that was shown; absent, the login agrees to that of now.",
    )


class ConsentTextAnswer(serializers.Serializer[Any]):
    scope = serializers.CharField()
    version = serializers.CharField(help_text="Send it as `consent` with a login.")
    text = serializers.CharField(help_text="What completing a login agrees to.")


class ConsentAnswer(ConsentTextAnswer):
    stated = serializers.BooleanField(help_text="Whether its version was sent; else it follows from the login.")
    given_at = Instant()
    given_from = serializers.CharField(allow_null=True, help_text="The IP address; null: not known.")
    withdrawn_at = Instant(allow_null=True, help_text="Null while it stands.")


class LoginStartAnswer(serializers.Serializer[Any]):
    broker_type = serializers.CharField()
    authorization_url = serializers.CharField(help_text="Send the trader's browser there.")
    state = serializers.CharField(help_text="One use, ten minutes; comes back in the callback.")
    expires_at = Instant()
    consent = ConsentTextAnswer(help_text="What completing it agrees to.")


class CompleteRequest(serializers.Serializer[Any]):
    """Either `callback`, the parameters that came back as they are, or `code` alone."""

    state = serializers.CharField(max_length=200)
    callback = serializers.DictField(child=serializers.CharField(max_length=4000), required=False)
    code = serializers.CharField(max_length=4000, required=False)
    broker_type = BrokerTypeField(max_length=20, required=False)
    redirect_uri = serializers.CharField(max_length=500, required=False)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if ("callback" in attrs) == ("code" in attrs):
            raise serializers.ValidationError({"callback": ["Send either `callback`, or `broker_type` and `code`."]})
        if "code" in attrs:
            if "broker_type" not in attrs:
                raise serializers.ValidationError({"broker_type": ["Needed beside `code`."]})
            attrs["callback"] = logins.callback_from(attrs["code"], attrs["broker_type"])
        callback = {name: Hidden(value) for name, value in attrs["callback"].items()}
        return {**attrs, "callback": callback, "state": Hidden(attrs["state"])}


class ReasonAnswer(serializers.Serializer[Any]):
    code = serializers.CharField()
    words = serializers.CharField()
    remedy = serializers.CharField()


class LightAnswer(serializers.Serializer[Any]):
    state = serializers.CharField(help_text="YES, NO or UNKNOWN.")
    reasons = ReasonAnswer(many=True, help_text="What stops it, or what could not be established; none with YES.")


# Not a class: a field called `data` would hide the serializer's own.
ClearanceAnswer = inline_serializer(
    "ClearanceAnswer",
    {
        "data": LightAnswer(help_text="Whether the account can be read now."),
        "trade": LightAnswer(help_text="Whether an order would pass: trading is on, and the broker would take it."),
        "sell_holdings": LightAnswer(help_text="Whether it would take the sale of shares that are held."),
        "segments": serializers.DictField(
            child=serializers.CharField(), help_text="YES, NO or UNKNOWN per segment: is it enabled for this account?"
        ),
    },
)


class ConnectionSerializer(serializers.ModelSerializer[BrokerConnection]):
    serializer_field_mapping: ClassVar[dict[Any, Any]] = {
        **serializers.ModelSerializer.serializer_field_mapping,
        models.DateTimeField: Instant,
    }
    broker_name = serializers.CharField(read_only=True)
    error_code = serializers.SerializerMethodField()
    error_message = serializers.SerializerMethodField()
    clearance = serializers.SerializerMethodField()

    class Meta:
        model = BrokerConnection
        fields: ClassVar[tuple[str, ...]] = (
            "id",
            "broker_type",
            "broker_name",
            "account_id",
            "display_name",
            "status",
            "status_since",
            "error_code",
            "error_message",
            "session_began_at",
            "token_expires_at",
            "last_successful_call",
            "last_health_check",
            "consecutive_failures",
            "capabilities",
            "registered_ip",
            "trading_enabled_at",
            "clearance",
            "created_at",
            "updated_at",
        )
        read_only_fields = fields

    def get_error_code(self, connection: BrokerConnection) -> str | None:
        return connection.error_code or None

    def get_error_message(self, connection: BrokerConnection) -> str | None:
        return connection.error_message or None

    @extend_schema_field(ClearanceAnswer)
    def get_clearance(self, connection: BrokerConnection) -> dict[str, Any]:
        return plain_clearance(connection, now=timezone.now())


class ConnectionAnswer(ConnectionSerializer):
    """A connection as the API answers it to its owner: with what they agreed to."""

    _consents: Mapping[UUID, list[consents.Consent]] | None = None
    consents = serializers.SerializerMethodField()

    class Meta(ConnectionSerializer.Meta):
        fields = (*ConnectionSerializer.Meta.fields, "consents")
        read_only_fields = fields

    @extend_schema_field(ConsentAnswer(many=True))
    def get_consents(self, connection: BrokerConnection) -> Any:
        """All connections of one answer are looked up at once."""
        if self._consents is None:
            rows = getattr(self.parent, "instance", None) or [connection]
            self._consents = consents.of([row.pk for row in rows])
        return ConsentAnswer(self._consents[connection.pk], many=True).data


class GrantRequest(serializers.Serializer[Any]):
    to = serializers.CharField(
        max_length=254,
        help_text="A username, or an e-mail address.",
        error_messages={"blank": "Enter a user name, or an e-mail address."},
    )
    connections = serializers.ListField(
        child=serializers.UUIDField(),
        min_length=1,
        max_length=100,
        error_messages={"min_length": "Choose one account at least."},
    )
    expires_at = serializers.DateTimeField(required=False, allow_null=True, default=None)


class GrantAnswer(serializers.Serializer[Any]):
    """Nothing here tells whether the person named exists."""

    id = serializers.UUIDField()
    to = serializers.CharField(source="named", help_text="As it was typed.")
    connections = serializers.SerializerMethodField()
    expires_at = Instant(allow_null=True)
    created_at = Instant()

    @extend_schema_field(serializers.ListField(child=serializers.UUIDField()))
    def get_connections(self, grant: ConnectionGrant) -> list[str]:
        return [str(connection.pk) for connection in grant.connections.all()]


class AmendRequest(serializers.Serializer[Any]):
    """One of the two, or both."""

    display_name = serializers.CharField(max_length=100, required=False)
    registered_ip = serializers.IPAddressField(
        protocol="IPv4",
        required=False,
        allow_null=True,
        help_text="The IPv4 address registered at the broker for orders; null: not told.",
    )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if not attrs:
            raise serializers.ValidationError({"display_name": ["Send this, or `registered_ip`, or both."]})
        return attrs


class TradingRequest(serializers.Serializer[Any]):
    consent = serializers.CharField(
        max_length=20, help_text="The version of the text that was shown, from GET /brokers/consent?scope=trade."
    )


class ConsentQuery(serializers.Serializer[Any]):
    scope = serializers.ChoiceField(
        choices=list(consents.TEXTS), default=consents.READ, help_text="What is agreed to: a login, or trading."
    )


class AppRequest(serializers.Serializer[Any]):
    """The fields that the broker's `app_fields` name; most brokers ask for `api_key` and `api_secret`."""

    def __init__(self, *args: Any, broker_type: str = "", **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for field in registry.load(broker_type).spec.app_fields if broker_type else APP_FIELDS:
            self.fields[field.name] = serializers.CharField(
                max_length=1000, write_only=True, required=field.required, allow_blank=not field.required
            )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        return {name: Hidden(value) for name, value in attrs.items()}


class AppAnswer(serializers.ModelSerializer[BrokerApp]):
    configured = serializers.SerializerMethodField()

    class Meta:
        model = BrokerApp
        fields = ("broker_type", "configured", "updated_at")
        read_only_fields = fields

    def get_configured(self, app: BrokerApp) -> bool:
        return True


@extend_schema_field({"type": "string", "pattern": "^[0-9]{2}:[0-9]{2}:[0-9]{2}$"})
class ClockField(serializers.TimeField):
    """An hour of the day. (OpenAPI's own `time` would want an offset.)"""


class BrokerAnswer(serializers.Serializer[Any]):
    broker_type = serializers.CharField()
    name = serializers.CharField()
    redirect_uri = serializers.CharField(help_text="Register this address for your app at the broker.")
    app_configured = serializers.BooleanField(help_text="Whether an API key and secret are stored.")
    app_fields = serializers.JSONField(help_text="The keys to store for this broker.")
    login_by_redirect = serializers.BooleanField(help_text="Whether the login happens on the broker's own page.")
    login_methods = serializers.JSONField(help_text="Logins by a form of ours, and what each asks for.")
    code_parameter = serializers.CharField(
        allow_null=True, help_text="The callback's parameter that carries the one-use code."
    )
    session_ends_at = ClockField(
        allow_null=True, help_text="IST; a session dies at this hour. Null: it lives a day from its login."
    )
    session_refreshable = serializers.BooleanField()
    order_rules = serializers.JSONField(help_text="What an order needs at this broker beside a session.")
    postback = serializers.JSONField(
        allow_null=True, help_text="How it posts news of orders: `is_signed`, `instruction`. Null: it does not."
    )
    capabilities = serializers.JSONField()


class WhyAnswer(serializers.Serializer[Any]):
    code = serializers.CharField(help_text="Stable: programs may decide on it.")
    message = serializers.CharField()


class LoginWayAnswer(serializers.Serializer[Any]):
    by_redirect = serializers.BooleanField(help_text="At the broker's own page; else by a form of ours.")
    app_configured = serializers.BooleanField(help_text="Whether an API key and secret are stored.")
    ready = serializers.BooleanField(help_text="Whether a login can be begun: no key is missing.")
    methods = serializers.ListField(
        child=serializers.DictField(child=serializers.CharField()),
        help_text="`name`, to send as `method`, and `label`.",
    )


class MorningLogin(serializers.Serializer[Any]):
    connection_id = serializers.UUIDField()
    broker_type = serializers.CharField()
    broker_name = serializers.CharField()
    account_id = serializers.CharField()
    display_name = serializers.CharField()
    status = serializers.CharField()
    needs_login = serializers.ChoiceField(choices=[need.value for need in Need])
    why = WhyAnswer()
    expires_at = Instant(allow_null=True, help_text="The end of the session. Null: over, or not known.")
    seconds_left = serializers.IntegerField(allow_null=True)
    login_after = Instant(
        allow_null=True, help_text="A login before this moment would end again before today's trading does."
    )
    login = LoginWayAnswer()
    broker_trouble = serializers.CharField(
        allow_null=True, help_text="MAINTENANCE or ERROR where nobody's connection to this broker answers."
    )


class LoginCounts(serializers.Serializer[Any]):
    now = serializers.IntegerField()
    today = serializers.IntegerField()
    no = serializers.IntegerField()
    total = serializers.IntegerField()


class MorningAnswer(serializers.Serializer[Any]):
    as_of = Instant()
    trading_day = serializers.BooleanField(allow_null=True, help_text="Null: this year's holidays are not known.")
    trading_ends_at = Instant(allow_null=True, help_text="The end of today's trading; null: over, or there is none.")
    next_session_at = Instant(allow_null=True, help_text="When trading begins next; null: not known.")
    counts = LoginCounts()
    entries = MorningLogin(many=True)


class ReminderRequest(serializers.Serializer[Any]):
    by_email = serializers.BooleanField(default=False)
    webhook_url = serializers.CharField(
        max_length=500, allow_blank=True, default="", help_text="https, on the internet. Empty: none."
    )
    rotate_secret = serializers.BooleanField(default=False, help_text="Make a new secret for the same address.")


class ReminderAnswer(serializers.ModelSerializer[LoginReminder]):
    email = serializers.CharField(source="user.email", help_text="Where an e-mail would go; empty: nowhere.")
    webhook_url = serializers.CharField(read_only=True, help_text="Empty: none.")
    last_error = serializers.SerializerMethodField()

    class Meta:
        model = LoginReminder
        fields: ClassVar[tuple[str, ...]] = ("by_email", "email", "webhook_url", "last_sent_on", "last_error")
        read_only_fields = fields

    def get_last_error(self, reminder: LoginReminder) -> str | None:
        return reminder.last_error or None


class ReminderSaved(ReminderAnswer):
    webhook_secret = serializers.SerializerMethodField(help_text="Only where it is new; it is never shown again.")

    class Meta(ReminderAnswer.Meta):
        fields = (*ReminderAnswer.Meta.fields, "webhook_secret")
        read_only_fields = fields

    def get_webhook_secret(self, reminder: LoginReminder) -> str | None:
        secret: Secret | None = self.context["new_secret"]
        return secret.reveal() if secret else None


class PostbackAnswer(serializers.Serializer[Any]):
    exists = serializers.BooleanField(help_text="Whether there is an address. It cannot be shown again.")
    made_at = Instant(allow_null=True)
    last_received_at = Instant(allow_null=True, help_text="When the last postback of this connection came.")
    is_signed = serializers.BooleanField(help_text="Whether this broker signs them. Signed or not, none is believed.")
    instruction = serializers.CharField(help_text="Where to enter the address at the broker.")


class PostbackAddressAnswer(PostbackAnswer):
    address = serializers.CharField(help_text="Shown this once. Whoever knows it can make us ask the broker.")
