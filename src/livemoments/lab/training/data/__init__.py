"""Make training data: photographs, scenes, degradation, crops."""
