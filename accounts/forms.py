"""Our changes to django-allauth's forms; settings name them."""

from __future__ import annotations

from typing import Any

from allauth.account.forms import LoginForm, SignupForm
from allauth.core import context
from allauth.mfa.base.forms import AuthenticateForm
from allauth.mfa.webauthn.forms import AddWebAuthnForm, AuthenticateWebAuthnForm
from django import forms
from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from accounts import invitations
from accounts.signals import TRUST_DEVICE, bound


class SignInForm(LoginForm):
    def login(self, request: HttpRequest, redirect_url: str | None = None) -> HttpResponse:
        """The library sets a length, which would begin anew at every note in the session."""
        answer: HttpResponse = super().login(request, redirect_url=redirect_url)
        bound(request, now=timezone.now())
        return answer


class InvitedSignupForm(SignupForm):
    """The address is the invitation's, whatever is sent."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        invitation = invitations.of_session(context.request)
        self.initial["email"] = invitation.email if invitation else ""
        self.fields["email"].disabled = True


class Trusting(forms.Form):
    """Beside a second factor: whether to ask for it again in this browser."""

    trust = forms.BooleanField(required=False)

    def save(self) -> None:
        super().save()  # type: ignore[misc]
        if self.cleaned_data["trust"]:
            context.request.session[TRUST_DEVICE] = True


class CodeForm(Trusting, AuthenticateForm):
    pass


class PasskeyForm(Trusting, AuthenticateWebAuthnForm):
    pass


class NewPasskeyForm(AddWebAuthnForm):
    """A passkey signs in by itself, unless the user wants it to be a second factor only."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["name"].label = "Name"
        self.fields["name"].widget.attrs["maxlength"] = 60
        self.fields["passwordless"].initial = True
        self.fields["passwordless"].label = "Sign in with this passkey alone"
        self.fields[
            "passwordless"
        ].help_text = "It then asks for your fingerprint, face or PIN instead of the password."


class DeviceName(forms.Form):
    name = forms.CharField(max_length=100)
