"""Train LoRA adapters of the sd3 tier: small matrices added to frozen weights."""

from collections.abc import Iterator

from torch import nn

from livemoments.errors import MissingExtraError
from livemoments.networks.sd3 import DualBranch

# Of every block of both transformers: the image's projections, not the text's.
TARGETS = (
    "attn.to_q", "attn.to_k", "attn.to_v", "attn.to_out.0", "ff.net.0.proj", "ff.net.2",
)  # fmt: skip
WHOLE = ("motion_encoder.", "point_proj")  # new in LiveMoments, and trained as they are


def add_lora(dual: DualBranch, rank: int) -> None:
    """Give both transformers adapters of a rank, which change nothing before they are trained.

    Raises:
        MissingExtraError: peft is not installed.
    """
    try:
        from peft import LoraConfig
    except ImportError as error:
        raise MissingExtraError(
            "adapters need peft: pip install 'livemoments[sd3]'", settings=("lora",)
        ) from error
    for net in (dual.restoration, dual.reference):
        net.add_adapter(LoraConfig(r=rank, lora_alpha=rank, target_modules=list(TARGETS)))


def lora_trained(dual: DualBranch) -> Iterator[tuple[str, nn.Parameter]]:
    """Yield names and parameters that training with adapters changes."""
    for name, parameter in dual.trained():
        if ".lora_" in name or any(part in name for part in WHOLE):
            yield name, parameter


def merge_lora(dual: DualBranch) -> None:
    """Add what the adapters have learned to the frozen weights, and remove them."""
    for net in (dual.restoration, dual.reference):
        net.fuse_lora()
        net.unload_lora()
