"""Train, measure and experiment from the command line: `livemoments lab`."""
