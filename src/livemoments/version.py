"""State the version, alone in its file so that the build can read it without importing."""

__version__ = "0.1.0"
