"""Restore one moment, from arrays to arrays."""
