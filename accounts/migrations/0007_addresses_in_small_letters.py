"""Sign-in looks for addresses in small letters; the admin used to keep them as they were typed."""

from django.db import migrations


class Migration(migrations.Migration):

    dependencies = [
        ('accounts', '0006_clients_of_the_api'),
    ]

    operations = [
        migrations.RunSQL('UPDATE users SET email = lower(email) WHERE email <> lower(email)', migrations.RunSQL.noop),
    ]
