"""Bring the key photo to the frame: registration, dense flow, confidence."""
