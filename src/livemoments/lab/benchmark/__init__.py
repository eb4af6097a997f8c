"""Compare methods on a set of images, with every metric."""
