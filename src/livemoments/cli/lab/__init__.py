"""The commands of `livemoments lab`."""
