"""Models, runs and weights that are as small as they can be with every part in them."""
