"""Set up, store, watch and stop a training run."""
