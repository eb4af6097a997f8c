"""Work on one Live Photo, from file to file, for the command line and other programs."""
