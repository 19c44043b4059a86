"""The front door's addresses. The names are django-allauth's: it links by them.

What changes how somebody signs in needs a fresh proof that it is they (`required`).
"""

from allauth.account import views as account
from allauth.mfa.base import views as factors
from allauth.mfa.recovery_codes import views as recovery
from allauth.mfa.totp import views as totp
from allauth.mfa.webauthn import views as passkeys
from django.urls import path, re_path
from django.views.decorators.http import require_POST

from accounts import api_pages, views
from accounts.step_up import required, step_up

urlpatterns = [
    path("login", account.login, name="account_login"),
    path("login", account.login, name="login"),
    path("login/factor", factors.authenticate, name="mfa_authenticate"),
    path("login/passkey", passkeys.login_webauthn, name="mfa_login_webauthn"),
    path("logout", require_POST(account.logout), name="account_logout"),
    path("logout", require_POST(account.logout), name="logout"),
    path("step-up", step_up, name="step_up"),
    path("step-up/password", account.reauthenticate, name="account_reauthenticate"),
    path("step-up/code", factors.reauthenticate, name="mfa_reauthenticate"),
    path("step-up/passkey", passkeys.reauthenticate_webauthn, name="mfa_reauthenticate_webauthn"),
    path("invitation/<str:token>", views.invitation, name="invitation"),
    path("signup", account.signup, name="account_signup"),
    path("account/inactive", account.account_inactive, name="account_inactive"),
    path("account/email", required(account.email), name="account_email"),
    path("account/email/sent", account.email_verification_sent, name="account_email_verification_sent"),
    path("account/email/confirm/<str:key>", account.confirm_email, name="account_confirm_email"),
    path("account/password", required(account.password_change), name="account_change_password"),
    path("account/password/set", required(account.password_set), name="account_set_password"),
    path("password/reset", account.password_reset, name="account_reset_password"),
    path("password/reset/sent", account.password_reset_done, name="account_reset_password_done"),
    re_path(
        r"^password/reset/(?P<uidb36>[0-9A-Za-z]+)-(?P<key>[^/]+)$",
        account.password_reset_from_key,
        name="account_reset_password_from_key",
    ),
    path("password/reset/done", account.password_reset_from_key_done, name="account_reset_password_from_key_done"),
    path("account/factors", factors.index, name="mfa_index"),
    path("account/factors/app", required(totp.activate_totp), name="mfa_activate_totp"),
    path("account/factors/app/remove", required(totp.deactivate_totp), name="mfa_deactivate_totp"),
    path("account/factors/recovery-codes", required(recovery.view_recovery_codes), name="mfa_view_recovery_codes"),
    path(
        "account/factors/recovery-codes/new",
        required(recovery.generate_recovery_codes),
        name="mfa_generate_recovery_codes",
    ),
    path("account/factors/passkeys", passkeys.list_webauthn, name="mfa_list_webauthn"),
    path("account/factors/passkeys/add", required(passkeys.add_webauthn), name="mfa_add_webauthn"),
    path("account/factors/passkeys/<int:pk>", required(passkeys.edit_webauthn), name="mfa_edit_webauthn"),
    path("account/factors/passkeys/<int:pk>/remove", required(passkeys.remove_webauthn), name="mfa_remove_webauthn"),
    path("account/devices", views.trusted_devices, name="trusted_devices"),
    path("account/devices/forget", views.forget_devices, name="forget_devices"),
    path("account/devices/<int:pk>", views.device, name="trusted_device"),
    path("account/api", api_pages.overview, name="api_access"),
    path("account/api/new", required(api_pages.new_token), name="new_personal_token"),
    path("account/api/tokens/<int:pk>/revoke", api_pages.revoke_token, name="revoke_personal_token"),
    path("account/api/sessions/<uuid:pk>/end", api_pages.end_session, name="end_api_session"),
    path("account/sessions", views.sessions, name="usersessions_list"),
    path("account/sessions/end", views.sign_out_everywhere, name="sign_out_everywhere"),
    path("account/sessions/<int:pk>/end", views.end_session, name="end_session"),
]
