"""The days behind us, what is still to be asked of them, and the sectors, with their first rows."""

import brokers.models
import django.db.models.deletion
from django.db import migrations, models

from market.sectors import seed_sectors


def seed(apps, schema_editor):
    seed_sectors(apps.get_model("market", "Sector"))


class Migration(migrations.Migration):

    dependencies = [
        ('market', '0002_search_and_calendar'),
    ]

    operations = [
        migrations.CreateModel(
            name='Sector',
            fields=[
                ('isin', models.CharField(max_length=12, primary_key=True, serialize=False)),
                ('sector', models.CharField(max_length=80)),
                ('source', models.CharField(max_length=120)),
                ('as_of', models.DateField()),
            ],
            options={
                'db_table': 'market_sectors',
                'ordering': ['isin'],
            },
        ),
        migrations.CreateModel(
            name='CandleFill',
            fields=[
                ('instrument', models.OneToOneField(on_delete=django.db.models.deletion.CASCADE, primary_key=True, related_name='candle_fill', serialize=False, to='market.instrument')),
                ('state', models.CharField(choices=[('WAITING', 'Nothing was told yet'), ('FILLED', 'All whole days were asked for'), ('FAILING', 'Was not told the last time, and is asked again'), ('UNSUPPORTED', 'No broker tells it')], default='WAITING', max_length=11)),
                ('wanted_at', models.DateTimeField()),
                ('next_due_at', models.DateTimeField()),
                ('covered_from', models.DateField(null=True)),
                ('covered_until', models.DateField(null=True)),
                ('first_day', models.DateField(null=True)),
                ('last_day', models.DateField(null=True)),
                ('day_count', models.PositiveIntegerField(default=0)),
                ('source', models.CharField(blank=True, choices=brokers.models.broker_choices, max_length=20)),
                ('attempts', models.PositiveSmallIntegerField(default=0)),
                ('last_asked_at', models.DateTimeField(null=True)),
                ('last_broker', models.CharField(blank=True, choices=brokers.models.broker_choices, max_length=20)),
                ('last_error_code', models.CharField(blank=True, max_length=60)),
                ('unreadable_count', models.PositiveIntegerField(default=0)),
                ('refused', models.JSONField(default=dict)),
                ('replaced_at', models.DateTimeField(null=True)),
            ],
            options={
                'db_table': 'market_candle_fills',
                'ordering': ['next_due_at', 'instrument'],
                'indexes': [models.Index(fields=['next_due_at'], name='idx_candle_fill_due')],
            },
        ),
        migrations.CreateModel(
            name='DailyCandle',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('day', models.DateField()),
                ('open_price', models.DecimalField(decimal_places=4, max_digits=20)),
                ('high_price', models.DecimalField(decimal_places=4, max_digits=20)),
                ('low_price', models.DecimalField(decimal_places=4, max_digits=20)),
                ('close_price', models.DecimalField(decimal_places=4, max_digits=20)),
                ('volume', models.DecimalField(decimal_places=4, max_digits=20, null=True)),
                ('source', models.CharField(choices=brokers.models.broker_choices, max_length=20)),
                ('fetched_at', models.DateTimeField()),
                ('suspected_split', models.BooleanField(default=False)),
                ('disputes', models.PositiveSmallIntegerField(default=0)),
                ('disputed_by', models.CharField(blank=True, choices=brokers.models.broker_choices, max_length=20)),
                ('disputed_close', models.DecimalField(decimal_places=4, max_digits=20, null=True)),
                ('instrument', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='candles', to='market.instrument')),
            ],
            options={
                'db_table': 'market_daily_candles',
                'ordering': ['instrument', '-day'],
                'indexes': [models.Index(condition=models.Q(('disputes__gt', 0)), fields=['-day'], name='idx_candle_disputed'), models.Index(condition=models.Q(('suspected_split', True)), fields=['-day'], name='idx_candle_suspected')],
                'constraints': [models.UniqueConstraint(fields=('instrument', 'day'), name='uniq_daily_candle'), models.CheckConstraint(condition=models.Q(('close_price__gt', 0)), name='a_close_is_a_price')],
            },
        ),
        migrations.RunPython(seed, migrations.RunPython.noop),
    ]
