"""Define the networks. This room needs PyTorch."""
