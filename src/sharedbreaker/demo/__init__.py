"""The whole thing on one machine: a Redis, a Google AI server, a fleet that calls it, and its clients."""
