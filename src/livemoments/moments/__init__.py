"""Choose a moment of the clip."""
