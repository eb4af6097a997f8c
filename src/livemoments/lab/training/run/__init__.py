"""What every training run has: settings, checkpoints, processes, progress."""
