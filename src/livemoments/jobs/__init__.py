"""Work on one Live Photo from file to file: what the command line calls."""
