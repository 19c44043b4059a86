"""What the checks before an order found of those that wait at a broker is kept with them."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("orders", "0005_halt_progress")]

    operations = [
        migrations.AddField("gttorder", "checks", models.JSONField(blank=True, default=list)),
    ]
