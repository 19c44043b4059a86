"""For the person on call: what orders cost."""

from orders import charge_admin  # noqa: F401 - Django finds a room's pages by this module
