"""Train the face model."""
