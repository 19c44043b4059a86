"""Indices keep no number of a broker's own: a price would be kept under what may be a share's."""

from django.db import migrations

from market.indices import BY_IDENTITY


def number(apps, schema_editor):
    rows = apps.get_model("market", "Instrument").objects.filter(kind="INDEX")
    rows.exclude(identity__in=list(BY_IDENTITY)).update(exchange_token=None)
    for identity, index in BY_IDENTITY.items():
        rows.filter(identity=identity).update(exchange_token=index.exchange_token)


class Migration(migrations.Migration):

    dependencies = [
        ("market", "0003_daily_prices_and_sectors"),
    ]

    operations = [
        migrations.RunPython(number, migrations.RunPython.noop, elidable=True),
    ]
