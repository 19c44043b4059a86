"""The table of the cache "sign_in": failed sign-ins and spent one-time codes. Its shape is that of Django's own."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0003_account_deletions"),
    ]

    operations = [
        migrations.RunSQL(
            """
            CREATE TABLE sign_in_counts (
                cache_key varchar(255) PRIMARY KEY,
                value text NOT NULL,
                expires timestamp with time zone NOT NULL
            );
            CREATE INDEX sign_in_counts_expires ON sign_in_counts (expires);
            """,
            "DROP TABLE sign_in_counts",
        ),
    ]
