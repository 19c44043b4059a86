"""When a halt was raised; and a lock that stands by the database's own clock, whatever hour is written down."""

from django.db import migrations, models

KEPT = """
CREATE OR REPLACE FUNCTION halt_kept() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.user_id <> OLD.user_id OR NEW.kind <> OLD.kind OR NEW.set_at <> OLD.set_at THEN
        RAISE EXCEPTION 'whose halt it is does not change' USING ERRCODE = 'restrict_violation';
    END IF;
    IF OLD.ended_at IS NOT NULL AND NEW.ended_at IS DISTINCT FROM OLD.ended_at THEN
        RAISE EXCEPTION 'a halt ends once' USING ERRCODE = 'restrict_violation';
    END IF;
    IF OLD.locked_until IS NOT NULL AND (NEW.locked_until IS NULL OR NEW.locked_until < OLD.locked_until) THEN
        RAISE EXCEPTION 'a lock is not made shorter' USING ERRCODE = 'restrict_violation';
    END IF;{early}
    RETURN NEW;
END $$;
"""
EARLY = """
    IF OLD.ended_at IS NULL AND NEW.ended_at IS NOT NULL AND OLD.locked_until > clock_timestamp() THEN
        RAISE EXCEPTION 'a lock is not ended early' USING ERRCODE = 'restrict_violation';
    END IF;"""
# A deletion of the whole account, which nobody takes back, takes its lock along; an account that is switched off
# for a while does not.
DELETED = """
CREATE OR REPLACE FUNCTION halt_deleted() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF {stands}
            AND EXISTS (SELECT 1 FROM users WHERE id = OLD.user_id{spared}) THEN
        RAISE EXCEPTION 'a lock that stands is not deleted' USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN OLD;
END $$;
"""
GOING = " AND (is_active OR NOT EXISTS (SELECT 1 FROM account_deletions WHERE user_id = OLD.user_id))"
STANDS = "OLD.ended_at IS NULL AND OLD.locked_until IS NOT NULL"
BEFORE = KEPT.format(early="") + DELETED.format(stands=STANDS, spared=" AND is_active")
AFTER = KEPT.format(early=EARLY) + DELETED.format(stands=STANDS, spared=GOING)


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0008_alerts"),
        ("portfolio", "0006_cash_flows"),
    ]

    operations = [
        migrations.AddField(
            model_name="tradinghalt",
            name="raised_at",
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.RunSQL(AFTER, BEFORE),
    ]
