"""Train the sd3 model."""
