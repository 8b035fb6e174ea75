"""The words and rules of a circuit. Nothing here talks to Redis, reads a clock or waits."""
