"""Read, describe and write gain maps, which make a picture HDR."""
