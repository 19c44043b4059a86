"""The twelve checks before an order. Pure: facts in, findings out. `table` has them in their order."""
