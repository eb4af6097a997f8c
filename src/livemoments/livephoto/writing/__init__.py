"""Write a Live Photo or Motion Photo in a maker's format."""
