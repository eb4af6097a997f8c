"""The networks; this room needs PyTorch."""
