"""How good a result is, and what others would have made of the same frame."""
