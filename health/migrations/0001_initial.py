"""broker_health_logs of the specification, with the error's stable code beside its message."""

import django.db.models.deletion
from django.db import migrations, models

import brokers.models


class Migration(migrations.Migration):
    initial = True

    dependencies = [
        ("brokers", "0001_initial"),
    ]

    operations = [
        migrations.CreateModel(
            name="BrokerHealthLog",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("check_type", models.CharField(choices=[("SESSION", "Session")], default="SESSION", max_length=20)),
                (
                    "status",
                    models.CharField(
                        choices=[
                            ("CONNECTED", "Connected"),
                            ("DISCONNECTED", "Disconnected"),
                            ("TOKEN_EXPIRED", "Token expired"),
                            ("RATE_LIMITED", "Rate limited"),
                            ("MAINTENANCE", "Maintenance"),
                            ("ERROR", "Error"),
                            ("SUSPENDED", "Suspended"),
                        ],
                        max_length=20,
                    ),
                ),
                ("response_time_ms", models.PositiveIntegerField(null=True)),
                ("error_code", models.CharField(blank=True, max_length=60)),
                ("error_message", models.TextField(blank=True)),
                ("checked_at", models.DateTimeField()),
                (
                    "broker_connection",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="health_logs",
                        to="brokers.brokerconnection",
                    ),
                ),
            ],
            options={
                "db_table": "broker_health_logs",
                "ordering": ["-checked_at", "-id"],
                "indexes": [
                    brokers.models.NamedIndex(
                        fields=["broker_connection"], name="idx_broker_health_logs_connection_id"
                    ),
                    brokers.models.NamedIndex(fields=["checked_at"], name="idx_broker_health_logs_checked_at"),
                ],
            },
        ),
    ]
