"""A due time per kind of check, hours of checks for good, incidents, and the log's index by connection and time."""

import brokers.models
import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('brokers', '0004_connections_that_stay_alive'),
        ('health', '0001_initial'),
    ]

    operations = [
        migrations.CreateModel(
            name='BrokerRollup',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('check_type', models.CharField(choices=[('SESSION', 'Session'), ('HOLDINGS', 'Holdings'), ('QUOTES', 'Quotes'), ('ORDERS', 'Orders')], max_length=20)),
                ('hour', models.DateTimeField()),
                ('checks', models.PositiveIntegerField()),
                ('failures', models.PositiveIntegerField()),
                ('errors', models.JSONField(default=dict)),
                ('latencies', models.JSONField(default=dict)),
                ('broker_type', models.CharField(choices=brokers.models.broker_choices, max_length=20)),
            ],
            options={
                'db_table': 'health_broker_rollups',
                'ordering': ['-hour', 'id'],
            },
        ),
        migrations.CreateModel(
            name='CheckSchedule',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('broker_type', models.CharField(choices=brokers.models.broker_choices, max_length=20)),
                ('check_type', models.CharField(choices=[('SESSION', 'Session'), ('HOLDINGS', 'Holdings'), ('QUOTES', 'Quotes'), ('ORDERS', 'Orders')], max_length=20)),
                ('due_at', models.DateTimeField(null=True)),
                ('lease_until', models.DateTimeField(null=True)),
                ('held', models.BooleanField(default=False)),
                ('consecutive_failures', models.PositiveIntegerField(default=0)),
                ('last_status', models.CharField(blank=True, choices=[('CONNECTED', 'Connected'), ('DISCONNECTED', 'Disconnected'), ('TOKEN_EXPIRED', 'Token expired'), ('RATE_LIMITED', 'Rate limited'), ('MAINTENANCE', 'Maintenance'), ('ERROR', 'Error'), ('SUSPENDED', 'Suspended')], max_length=20)),
                ('last_error_code', models.CharField(blank=True, max_length=60)),
                ('last_checked_at', models.DateTimeField(null=True)),
            ],
            options={
                'db_table': 'health_check_schedules',
                'ordering': ['due_at', 'id'],
            },
        ),
        migrations.CreateModel(
            name='HealthCursor',
            fields=[
                ('name', models.CharField(max_length=20, primary_key=True, serialize=False)),
                ('position', models.BigIntegerField(default=0)),
                ('at', models.DateTimeField(null=True)),
            ],
            options={
                'db_table': 'health_cursors',
            },
        ),
        migrations.CreateModel(
            name='HealthRollup',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('check_type', models.CharField(choices=[('SESSION', 'Session'), ('HOLDINGS', 'Holdings'), ('QUOTES', 'Quotes'), ('ORDERS', 'Orders')], max_length=20)),
                ('hour', models.DateTimeField()),
                ('checks', models.PositiveIntegerField()),
                ('failures', models.PositiveIntegerField()),
                ('errors', models.JSONField(default=dict)),
                ('latencies', models.JSONField(default=dict)),
            ],
            options={
                'db_table': 'health_rollups',
                'ordering': ['-hour', 'id'],
            },
        ),
        migrations.CreateModel(
            name='Incident',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('broker_type', models.CharField(choices=brokers.models.broker_choices, max_length=20)),
                ('kind', models.CharField(choices=[('ERROR', 'Does not answer'), ('MAINTENANCE', 'Maintenance'), ('RATE_LIMITED', 'Rate limited'), ('SUSPENDED', 'Suspended'), ('TOKEN_EXPIRED', 'Session ended early'), ('WIDESPREAD', 'Fails for most accounts'), ('ORDERS_AWAY', 'Orders cannot be reached'), ('DATA_AWAY', 'Prices cannot be reached'), ('PORTFOLIO_AWAY', 'Accounts cannot be read'), ('SESSION_AWAY', 'Logins do not work')], max_length=20)),
                ('planned', models.BooleanField(default=False)),
                ('error_code', models.CharField(blank=True, max_length=60)),
                ('message', models.TextField(blank=True)),
                ('opened_at', models.DateTimeField()),
                ('closed_at', models.DateTimeField(null=True)),
                ('seen_after_seconds', models.PositiveIntegerField(null=True)),
            ],
            options={
                'db_table': 'health_incidents',
                'ordering': ['-opened_at', '-id'],
            },
        ),
        migrations.RemoveIndex(
            model_name='brokerhealthlog',
            name='idx_broker_health_logs_connection_id',
        ),
        migrations.AlterField(
            model_name='brokerhealthlog',
            name='check_type',
            field=models.CharField(choices=[('SESSION', 'Session'), ('HOLDINGS', 'Holdings'), ('QUOTES', 'Quotes'), ('ORDERS', 'Orders')], default='SESSION', max_length=20),
        ),
        migrations.AddIndex(
            model_name='brokerhealthlog',
            index=brokers.models.NamedIndex(fields=['broker_connection', 'checked_at'], name='idx_broker_health_logs_connection_id'),
        ),
        migrations.AddConstraint(
            model_name='brokerrollup',
            constraint=models.UniqueConstraint(fields=('broker_type', 'hour', 'check_type'), name='uniq_health_broker_rollup'),
        ),
        migrations.AddField(
            model_name='checkschedule',
            name='broker_connection',
            field=models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='check_schedules', to='brokers.brokerconnection'),
        ),
        migrations.AddField(
            model_name='healthrollup',
            name='broker_connection',
            field=models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='health_rollups', to='brokers.brokerconnection'),
        ),
        migrations.AddField(
            model_name='incident',
            name='broker_connection',
            field=models.ForeignKey(db_index=False, null=True, on_delete=django.db.models.deletion.CASCADE, related_name='incidents', to='brokers.brokerconnection'),
        ),
        migrations.AddIndex(
            model_name='checkschedule',
            index=brokers.models.NamedIndex(fields=['due_at'], name='idx_health_check_schedules_due_at'),
        ),
        migrations.AddIndex(
            model_name='checkschedule',
            index=brokers.models.NamedIndex(condition=models.Q(('held', True)), fields=['broker_type'], name='idx_health_check_schedules_held'),
        ),
        migrations.AddConstraint(
            model_name='checkschedule',
            constraint=models.UniqueConstraint(fields=('broker_connection', 'check_type'), name='uniq_health_check_schedule'),
        ),
        migrations.AddConstraint(
            model_name='healthrollup',
            constraint=models.UniqueConstraint(fields=('broker_connection', 'hour', 'check_type'), name='uniq_health_rollup'),
        ),
        migrations.AddIndex(
            model_name='incident',
            index=brokers.models.NamedIndex(fields=['broker_connection', 'opened_at'], name='idx_health_incidents_connection_opened_at'),
        ),
        migrations.AddIndex(
            model_name='incident',
            index=brokers.models.NamedIndex(fields=['broker_type', 'opened_at'], name='idx_health_incidents_broker_opened_at'),
        ),
        migrations.AddConstraint(
            model_name='incident',
            constraint=models.UniqueConstraint(condition=models.Q(('broker_connection__isnull', False), ('closed_at', None)), fields=('broker_connection',), name='uniq_open_incident_of_connection'),
        ),
        migrations.AddConstraint(
            model_name='incident',
            constraint=models.UniqueConstraint(condition=models.Q(('broker_connection__isnull', True), ('closed_at', None)), fields=('broker_type', 'kind'), name='uniq_open_incident_of_broker'),
        ),
    ]
