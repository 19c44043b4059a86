"""The shapes of the API's front door. What goes in is checked here and nowhere saved; what is secret comes out once."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from accounts.credentials import Scope


class LoginRequest(serializers.Serializer[Any]):
    login = serializers.CharField(max_length=254, help_text="User name or e-mail address.")
    password = serializers.CharField(max_length=1000, trim_whitespace=False)
    code = serializers.CharField(
        max_length=100, required=False, default="", help_text="Of the authenticator app, or a recovery code."
    )
    scope = serializers.ChoiceField(Scope.choices, required=False, default=Scope.READ)
    name = serializers.CharField(
        max_length=100, required=False, default="API client", help_text="What the list of sessions shows."
    )


class RefreshRequest(serializers.Serializer[Any]):
    refresh_token = serializers.CharField(max_length=4000)


class StepUpRequest(serializers.Serializer[Any]):
    code = serializers.CharField(max_length=100, required=False, default="")
    password = serializers.CharField(max_length=1000, trim_whitespace=False, required=False, default="")


class PairAnswer(serializers.Serializer[Any]):
    access_token = serializers.CharField()
    refresh_token = serializers.CharField(help_text="Works once.")
    token_type = serializers.CharField()
    expires_in = serializers.IntegerField(help_text="Seconds, of the access token.")
    scope = serializers.ChoiceField(Scope.choices)


class SessionAnswer(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    name = serializers.CharField()
    scope = serializers.ChoiceField(Scope.choices)
    address = serializers.IPAddressField()
    created_at = serializers.DateTimeField()
    refreshed_at = serializers.DateTimeField()
    expires_at = serializers.DateTimeField()


class TokenRequest(serializers.Serializer[Any]):
    name = serializers.CharField(max_length=100)
    scope = serializers.ChoiceField(Scope.choices)
    days = serializers.IntegerField(min_value=1, max_value=365, help_text="How long it lives.")


class TokenAnswer(serializers.Serializer[Any]):
    id = serializers.IntegerField()
    name = serializers.CharField()
    scope = serializers.ChoiceField(Scope.choices)
    ending = serializers.CharField(help_text="The token's last four digits.")
    created_at = serializers.DateTimeField()
    expires_at = serializers.DateTimeField()
    last_used_at = serializers.DateTimeField(allow_null=True, help_text="To the minute.")


class TokenMade(TokenAnswer):
    token = serializers.SerializerMethodField(help_text="Shown this once.")

    def get_token(self, made: Any) -> str:
        return str(self.context["token"])


class TicketAnswer(serializers.Serializer[Any]):
    ticket = serializers.CharField(help_text="Works once.")
    expires_in = serializers.IntegerField(help_text="Seconds.")
