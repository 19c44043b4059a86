from django.db import migrations, models
from django.db.models import F


def take_up(apps, schema_editor):
    """Those that are in doubt already have their list read, too."""
    rows = apps.get_model("orders", "GttOrder").objects
    rows.filter(status__in=("SENDING", "UNKNOWN"), broker_gtt_id=None).update(settle_due_at=F("status_since"))


class Migration(migrations.Migration):
    dependencies = [
        ("orders", "0003_intake"),
    ]

    operations = [
        migrations.AddField(
            model_name="gttorder",
            name="settle_due_at",
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name="gttorder",
            name="tag",
            field=models.CharField(blank=True, default="", max_length=19),
            preserve_default=False,
        ),
        migrations.AddIndex(
            model_name="gttorder",
            index=models.Index(fields=["settle_due_at"], name="idx_gtts_settle_due"),
        ),
        migrations.RunPython(take_up, migrations.RunPython.noop),
    ]
