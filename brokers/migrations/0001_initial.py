"""broker_connections, oauth_states (names, uniques and indexes of the specification), and broker_apps.

Wider than the specification where exactness asks for it: the token columns may be NULL (wiped on disconnecting);
`oauth_states.state` holds the state's SHA-256, never the state; error_code, retry_after and next_health_check_at are ours.
"""

import brokers.domain
import brokers.models
import brokers.vault
import django.db.models.deletion
import uuid
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    initial = True

    dependencies = [
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='KeyProof',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('ciphertext', models.TextField()),
            ],
            options={
                'db_table': 'vault_key_proof',
            },
        ),
        migrations.CreateModel(
            name='BrokerApp',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('broker_type', models.CharField(choices=brokers.models.broker_choices, max_length=20)),
                ('api_key_encrypted', brokers.vault.StrictEncryptedTextField()),
                ('api_secret_encrypted', brokers.vault.StrictEncryptedTextField()),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('updated_at', models.DateTimeField(auto_now=True)),
                ('user', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='broker_apps', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'db_table': 'broker_apps',
                'constraints': [models.UniqueConstraint(fields=('user', 'broker_type'), name='uniq_broker_app')],
            },
        ),
        migrations.CreateModel(
            name='BrokerConnection',
            fields=[
                ('id', models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ('broker_type', models.CharField(choices=brokers.models.broker_choices, max_length=20)),
                ('account_id', models.CharField(max_length=100)),
                ('display_name', models.CharField(blank=True, max_length=100)),
                ('access_token_encrypted', brokers.vault.StrictEncryptedTextField(null=True)),
                ('refresh_token_encrypted', brokers.vault.StrictEncryptedTextField(null=True)),
                ('token_expires_at', models.DateTimeField(blank=True, null=True)),
                ('status', models.CharField(choices=[('CONNECTED', 'Connected'), ('DISCONNECTED', 'Disconnected'), ('TOKEN_EXPIRED', 'Token expired'), ('RATE_LIMITED', 'Rate limited'), ('MAINTENANCE', 'Maintenance'), ('ERROR', 'Error'), ('SUSPENDED', 'Suspended')], default=brokers.domain.ConnectionStatus['CONNECTED'], max_length=20)),
                ('last_successful_call', models.DateTimeField(blank=True, null=True)),
                ('last_health_check', models.DateTimeField(blank=True, null=True)),
                ('next_health_check_at', models.DateTimeField(blank=True, null=True)),
                ('consecutive_failures', models.PositiveIntegerField(default=0)),
                ('error_code', models.CharField(blank=True, max_length=60)),
                ('error_message', models.TextField(blank=True)),
                ('retry_after', models.DateTimeField(blank=True, null=True)),
                ('capabilities', models.JSONField(default=dict)),
                ('connection_config', models.JSONField(blank=True, default=dict)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('updated_at', models.DateTimeField(auto_now=True)),
                ('version', models.BigIntegerField(default=0)),
                ('user', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='broker_connections', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'db_table': 'broker_connections',
                'ordering': ['created_at', 'id'],
                'indexes': [brokers.models.NamedIndex(fields=['user'], name='idx_broker_connections_user_id'), brokers.models.NamedIndex(fields=['status'], name='idx_broker_connections_status'), brokers.models.NamedIndex(fields=['next_health_check_at'], name='idx_broker_connections_next_health_check')],
                'constraints': [models.UniqueConstraint(fields=('user', 'broker_type', 'account_id'), name='uniq_broker_connection'), models.CheckConstraint(condition=models.Q(('status__in', [brokers.domain.ConnectionStatus['CONNECTED'], brokers.domain.ConnectionStatus['DISCONNECTED'], brokers.domain.ConnectionStatus['TOKEN_EXPIRED'], brokers.domain.ConnectionStatus['RATE_LIMITED'], brokers.domain.ConnectionStatus['MAINTENANCE'], brokers.domain.ConnectionStatus['ERROR'], brokers.domain.ConnectionStatus['SUSPENDED']])), name='broker_connection_status_is_known')],
            },
        ),
        migrations.CreateModel(
            name='OAuthState',
            fields=[
                ('state', models.CharField(help_text='SHA-256 of the state, in hex', max_length=100, primary_key=True, serialize=False)),
                ('broker_type', models.CharField(choices=brokers.models.broker_choices, max_length=20)),
                ('redirect_uri', models.TextField()),
                ('expires_at', models.DateTimeField()),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('user', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='+', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'verbose_name': 'login under way',
                'verbose_name_plural': 'logins under way',
                'db_table': 'oauth_states',
                'indexes': [brokers.models.NamedIndex(fields=['expires_at'], name='idx_oauth_states_expires_at')],
            },
        ),
    ]
