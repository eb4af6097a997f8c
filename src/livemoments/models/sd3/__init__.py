"""Run the sd3 model, the paper's own. This room needs PyTorch."""
