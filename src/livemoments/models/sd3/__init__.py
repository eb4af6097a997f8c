"""The sd3 model, the paper's own; this room needs PyTorch."""
