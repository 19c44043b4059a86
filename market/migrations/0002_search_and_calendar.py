"""The index of the search's words, and the calendar's first rows."""

from django.db import migrations

from market.days import seed_calendar


def seed(apps, schema_editor):
    seed_calendar(apps.get_model("market", "MarketDay"))


class Migration(migrations.Migration):

    dependencies = [
        ("market", "0001_initial"),
    ]

    operations = [
        migrations.RunSQL(
            "CREATE INDEX idx_instrument_words ON market_instruments USING gin (to_tsvector('simple', words))",
            "DROP INDEX idx_instrument_words",
        ),
        # The first master of a day marks every row as seen: there is room for that on the row's own page.
        migrations.RunSQL("ALTER TABLE market_instruments SET (fillfactor = 70)", migrations.RunSQL.noop),
        migrations.RunPython(seed, migrations.RunPython.noop),
    ]
