"""For the person on call: orders, and what they cost."""

from orders import charge_admin, halt_admin, order_admin  # noqa: F401 - Django finds a room's pages by this module
