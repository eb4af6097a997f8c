"""Read the key photo, and write a picture with its metadata."""
