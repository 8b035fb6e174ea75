"""Where a circuit lives."""
