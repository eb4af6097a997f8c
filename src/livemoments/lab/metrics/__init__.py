"""Score pictures: fidelity, perceptual distance, identity, no-reference quality."""
