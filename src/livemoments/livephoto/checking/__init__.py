"""Check a Live Photo or Motion Photo against the rules of its format."""
