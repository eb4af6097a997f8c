"""Read, edit, decode and encode the clip of a Live Photo."""
