"""Restore tiles and windows of faces with a model, all behind one interface."""
