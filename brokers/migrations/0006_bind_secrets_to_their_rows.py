"""Bind every stored secret to its row and column.

Batch by batch, each in a transaction of its own: interrupted, it is begun again and skips what is done. A secret that no
key reads stays as it is, and is named.
"""

import logging

from django.db import migrations

import brokers.vault
from brokers import rotation

logger = logging.getLogger(__name__)

BATCH = 500
APP_OF = ('user', 'broker_type')
SESSION_OF = ('id', 'user', 'broker_type')


def bind(apps, schema_editor):
    tell(rotation.bind(apps, batch=BATCH))


def unbind(apps, schema_editor):
    tell(rotation.unbind(apps, batch=BATCH))


def tell(steps):
    named = set()
    for step in steps:
        for each in step.tally.unreadable:
            if each not in named:
                named.add(each)
                logger.warning('Left as it is. %s', each)


class Migration(migrations.Migration):
    atomic = False

    dependencies = [
        ('brokers', '0005_postbacks'),
    ]

    operations = [
        migrations.AlterField(
            model_name='brokerapp',
            name='api_key_encrypted',
            field=brokers.vault.StrictEncryptedTextField(belongs_to=APP_OF),
        ),
        migrations.AlterField(
            model_name='brokerapp',
            name='api_secret_encrypted',
            field=brokers.vault.StrictEncryptedTextField(belongs_to=APP_OF),
        ),
        migrations.AlterField(
            model_name='brokerapp',
            name='extra_encrypted',
            field=brokers.vault.StrictEncryptedTextField(belongs_to=APP_OF, null=True),
        ),
        migrations.AlterField(
            model_name='brokerconnection',
            name='access_token_encrypted',
            field=brokers.vault.StrictEncryptedTextField(belongs_to=SESSION_OF, null=True),
        ),
        migrations.AlterField(
            model_name='brokerconnection',
            name='refresh_token_encrypted',
            field=brokers.vault.StrictEncryptedTextField(belongs_to=SESSION_OF, null=True),
        ),
        migrations.AlterField(
            model_name='brokerconnection',
            name='feed_token_encrypted',
            field=brokers.vault.StrictEncryptedTextField(belongs_to=SESSION_OF, null=True),
        ),
        migrations.RunPython(bind, unbind),
    ]
