"""Measure face restoration on real clips."""
