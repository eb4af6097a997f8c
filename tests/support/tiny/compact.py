"""The smallest compact networks that still have every part; needs PyTorch."""

from livemoments.networks.compact_config import CompactConfig

TINY = CompactConfig(
    channels=(16, 24, 32),
    encoder_blocks=(1, 1, 1),
    decoder_blocks=(1, 1),
    reference_blocks=(1, 1, 1),
    refiner_channels=(16, 16),
)
