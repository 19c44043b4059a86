from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("brokers", "0009_alert_webhooks")]

    operations = [
        migrations.AddField(
            model_name="connectionchange",
            name="known_end_at",
            field=models.DateTimeField(null=True),
        ),
    ]
