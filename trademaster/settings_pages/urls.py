"""Addresses of the settings, beside those of the front door in `accounts.urls`."""

from django.urls import path
from django.views.generic import RedirectView

from trademaster.settings_pages import alerts, family, limits, order_settings, own_data, profile

urlpatterns = [
    path("account", RedirectView.as_view(pattern_name=profile.PAGE), name="account"),
    path("account/profile", profile.profile, name=profile.PAGE),
    path("account/alerts", alerts.overview, name=alerts.PAGE),
    path("account/alerts/new", alerts.add, name="settings-alert-new"),
    path("account/alerts/reminder", alerts.reminder, name="settings-reminder"),
    path("account/alerts/<uuid:id>", alerts.change, name="settings-alert"),
    path("account/alerts/<uuid:id>/test", alerts.test, name="settings-alert-test"),
    path("account/alerts/<uuid:id>/remove", alerts.remove, name="settings-alert-remove"),
    path("account/limits", limits.overview, name=limits.PAGE),
    path("account/limits/new", limits.add, name="settings-limit-new"),
    path("account/limits/<int:id>", limits.change, name="settings-limit"),
    path("account/limits/<int:id>/remove", limits.remove, name="settings-limit-remove"),
    path("account/limits/breaches/<int:id>/acknowledge", limits.acknowledge, name="settings-breach-acknowledge"),
    path("account/orders", order_settings.order_settings, name=order_settings.PAGE),
    path("account/family", family.overview, name=family.PAGE),
    path("account/family/new", family.add, name="settings-grant-new"),
    path("account/family/<uuid:id>/withdraw", family.withdraw, name="settings-grant-withdraw"),
    path("account/family/shared/<uuid:id>", family.shared, name="settings-shared"),
    path("account/log", own_data.log, name="settings-log"),
    path("account/consents", own_data.agreed, name="settings-consents"),
    path("account/data", own_data.data, name=own_data.PAGE),
    path("account/data/export", own_data.export, name="settings-export"),
    path("account/data/delete", own_data.end, name="settings-delete"),
]
