"""Train models, and export them."""
