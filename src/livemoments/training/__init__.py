"""Training; this room needs PyTorch, except for collecting photographs."""
