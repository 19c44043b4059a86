"""What needs a trader now: gathered over all rooms, each with what it means for the money and one remedy."""
