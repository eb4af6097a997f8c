"""Train, measure and experiment. Nothing of the product imports this wing."""
