"""The use cases; the only layer that commits."""
