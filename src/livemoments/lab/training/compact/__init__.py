"""Train the compact model."""
