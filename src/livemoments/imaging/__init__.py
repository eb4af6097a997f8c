"""Pure functions of pictures as arrays."""
