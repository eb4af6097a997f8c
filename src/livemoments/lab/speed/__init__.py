"""Measure seconds, memory and operations."""
