"""People and what they may do."""

from django.contrib.auth.models import AbstractUser
from django.db import models


class Role(models.TextChoices):
    TRADER = "TRADER", "Trader"
    SUPPORT = "SUPPORT", "Support"


class User(AbstractUser):
    """A trader sees their own accounts; support works in the admin and sees nobody's portfolio through the API."""

    role = models.CharField(max_length=20, choices=Role.choices, default=Role.TRADER)

    class Meta(AbstractUser.Meta):
        db_table = "users"

    @property
    def is_trader(self) -> bool:
        return self.role == Role.TRADER
