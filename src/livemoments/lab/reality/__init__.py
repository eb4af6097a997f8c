"""Compare the training's degradation with real clips."""
