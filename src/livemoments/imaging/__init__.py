"""Convert, resize and measure pictures: pure functions of arrays."""
