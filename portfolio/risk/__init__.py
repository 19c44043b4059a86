"""Risk over the whole book. Pure: numbers in, numbers out. What each figure means stands in docs/risk.md."""
