"""The restorers behind one interface."""
