"""Open a Live Photo or Motion Photo of any maker."""
