"""Load the sd3 tier's weights from the published layout, strictly, and write them in it.

A folder holds `transformer` and `transformer_ref` as diffusers writes them, a MotionEncoder's file,
the empty prompt's embeddings, and may hold SD3-medium's `vae`.
"""

import inspect
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, SD3Transformer2DModel

from livemoments.errors import ConfigError, WeightsError, first_line, list_some
from livemoments.files import atomic_folder
from livemoments.models.sd3 import stored
from livemoments.models.sd3.config import Sd3Config
from livemoments.models.sd3.prompt import PROMPT_FILE, prompt_files, read_prompt, write_prompt
from livemoments.models.sd3.stored import AGAIN, Part, find_folder, open_weights
from livemoments.networks.motion_encoder import PIXELS_PER_TOKEN, MotionEncoder, MotionEncoderConfig
from livemoments.networks.sd3 import SD3_MEDIUM, DualBranch, Prompt, make_transformer

MOTION_FILE = "motion_encoder.safetensors"
MOTION_FILES = re.compile(r".*motion.*\.(safetensors|pt|pth|bin)", re.IGNORECASE)
MOTION_PROJECTION = ".attn.processor.point_proj.weight"  # SD3-medium itself has none
EMBEDDINGS = 12  # of the paper's MotionEncoder, at most
WRITTEN = re.compile(
    r"(transformer|transformer_ref|vae)/(config\.json|diffusion_pytorch_model[\w.-]*)"
    rf"|{re.escape(MOTION_FILE)}|{re.escape(PROMPT_FILE)}"
)
SHARED = (  # by both branches: one attends to the other's tokens
    "num_layers", "num_attention_heads", "attention_head_dim", "in_channels", "patch_size",
    "joint_attention_dim", "pooled_projection_dim",
)  # fmt: skip


@dataclass
class Sd3Parts:
    """Everything that the sd3 tier's model is made of."""

    dual: DualBranch
    vae: AutoencoderKL
    prompt: Prompt


@dataclass(frozen=True, kw_only=True)
class _Found:
    """Folders in which every part fits; of the values, only the prompt's are read."""

    folder: Path
    base: Path  # where the autoencoder is
    restoration: Part
    reference: Part
    motion_encoder: Part
    vae: Part
    prompt: Prompt
    prompt_files: list[Path]


def load_sd3(config: Sd3Config, dtype: torch.dtype) -> Sd3Parts:
    """Load the model's parts on the CPU, in evaluation mode, frozen.

    All are of dtype, but for the autoencoder where that is bfloat16: its 8 bits would show in
    pictures, so float32 is used there.

    Raises:
        WeightsError: something is missing, damaged or of another model.
    """
    found = _find(config)
    parts = (found.restoration, found.reference, found.motion_encoder)
    dual = DualBranch(*(part.load(dtype) for part in parts))
    return Sd3Parts(
        dual=dual.eval(),
        vae=found.vae.load(torch.float32 if dtype == torch.bfloat16 else dtype),
        prompt=Prompt(found.prompt.tokens.to(dtype), found.prompt.pooled.to(dtype)),
    )


def check_sd3(config: Sd3Config) -> dict[str, Any]:
    """Check that all is there that `load_sd3` needs, and describe it for people and JSON.

    Only headers are read, and the prompt.

    Raises:
        WeightsError: something is missing, damaged or of another model.
    """
    found = _find(config)
    network, encoder = found.restoration.network, found.motion_encoder
    branch = {"blocks": len(network.transformer_blocks), "width": network.inner_dim}
    return {
        "weights": str(found.folder),
        "base": str(found.base),
        "transformer": found.restoration.facts() | branch,
        "transformer_ref": found.reference.facts() | branch,
        "motion_encoder": encoder.facts() | encoder.network.config.to_dict(),
        "vae": found.vae.facts() | {"latent_channels": found.vae.network.config.latent_channels},
        "prompt": {
            "files": [str(file) for file in found.prompt_files],
            "tokens": found.prompt.tokens.shape[1],
            "width": found.prompt.tokens.shape[2],
            "pooled": found.prompt.pooled.shape[1],
        },
        "licence": stored.LICENCE,
    }


def new_parts(base: Path | str, dtype: torch.dtype) -> Sd3Parts:
    """Make both branches out of SD3-medium's own transformer: where training begins (paper, B.2).

    The motion projections are zero, and the MotionEncoder is drawn by PyTorch's own generator.
    The autoencoder and the empty prompt are SD3-medium's.

    Args:
        base: SD3-medium's folder, or its name in the Hugging Face cache.
        dtype: Of the weights.

    Raises:
        WeightsError: something is missing, damaged or not SD3-medium's.
    """
    folder = find_folder(base)
    restoration, reference = (
        _open_transformer(folder / "transformer", guided=guided, fresh=MOTION_PROJECTION).load(
            dtype
        )
        for guided in (True, False)
    )
    blocks, width = len(restoration.transformer_blocks), restoration.inner_dim
    embeddings = min(EMBEDDINGS, -(-blocks // 2))
    encoder = _make_motion_encoder((512, 1024, width, width), embeddings, blocks)
    dual = DualBranch(restoration, reference, encoder.to(dtype))
    return Sd3Parts(
        dual=dual.train().requires_grad_(True),
        vae=_open_vae(folder / "vae", restoration.config).load(dtype),
        prompt=_read_prompt(prompt_files([folder]), folder, restoration),
    )


def save_sd3(
    folder: Path,
    dual: DualBranch,
    *,
    vae: AutoencoderKL | None = None,
    prompt: Prompt | None = None,
    overwrite: bool = False,
) -> None:
    """Write the published layout next to its place, then move it there as a whole.

    Args:
        folder: Where; it must not exist, or be empty.
        dual: Both branches and the MotionEncoder.
        vae: The autoencoder; without it, SD3-medium's folder is needed to load again.
        prompt: The empty prompt's embeddings, which loading asks for.
        overwrite: Whether a folder that holds such weights, and nothing else, is replaced.

    Raises:
        OutputError: the folder holds something, or cannot be written.
    """
    networks = {"transformer": dual.restoration, "transformer_ref": dual.reference, "vae": vae}
    with (
        stored.write_errors(folder),
        atomic_folder(folder, WRITTEN.fullmatch, overwrite=overwrite) as temporary,
    ):
        for name, network in networks.items():
            if network is not None:
                network.save_pretrained(temporary / name, max_shard_size=stored.SHARD_BYTES)
        stored.write_file(temporary / MOTION_FILE, dual.motion_encoder.state_dict())
        if prompt is not None:
            write_prompt(temporary / PROMPT_FILE, prompt)


def _find(config: Sd3Config) -> _Found:
    """Find every part and compare names and shapes, by the headers."""
    folder = find_folder(config.weights)
    restoration = _open_transformer(folder / "transformer", guided=True)
    reference = _open_transformer(folder / "transformer_ref", guided=False)
    for name in SHARED:
        one, other = (part.network.config[name] for part in (restoration, reference))
        if one != other:
            raise WeightsError(
                f"{folder}: transformer has {name} {one}, transformer_ref {other}; they are not of"
                f" one model; {AGAIN}"
            )
    network = restoration.network
    motion_encoder = _open_motion_encoder(
        _motion_file(folder), len(network.transformer_blocks), network.inner_dim
    )
    base = folder if os.path.isdir(folder / "vae") else find_folder(config.base)
    vae = _open_vae(base / "vae", network.config)
    files = prompt_files([folder, base])
    return _Found(
        folder=folder,
        base=base,
        restoration=restoration,
        reference=reference,
        motion_encoder=motion_encoder,
        vae=vae,
        prompt=_read_prompt(files, folder, network),
        prompt_files=files,
    )


def _read_prompt(files: list[Path], folder: Path, transformer: Any) -> Prompt:  # noqa: ANN401
    """Read the empty prompt's embeddings for a transformer; folder is where they belong."""
    if not files:
        raise WeightsError(
            f"{folder}: all there but the empty prompt's embeddings; `livemoments lab"
            f" embed-prompt SD3_FOLDER -o {folder / PROMPT_FILE}` makes them once from"
            " SD3-medium's text encoders"
        )
    settings = transformer.config
    return read_prompt(files, settings.joint_attention_dim, settings.pooled_projection_dim)


def _open_transformer(folder: Path, *, guided: bool, fresh: str | None = None) -> Part:
    """Open one branch; fresh as in `Part`."""
    weights, path = open_weights(folder), folder / "config.json"
    values = _settings(path, SD3Transformer2DModel)
    for name in SD3_MEDIUM:
        value = values.get(name, SD3_MEDIUM[name])
        if type(value) is not int or value < 1:
            raise WeightsError(f"{path}: {name} must be a positive number, found {value!r}")
    network = _make(path, make_transformer, config=values, guided=guided)
    part = Part(network, weights, fresh)
    settings = network.config
    if settings.caption_projection_dim != network.inner_dim or network.out_channels != (
        settings.in_channels
    ):
        raise WeightsError(
            f"{path}: text of width {settings.caption_projection_dim} and images of width"
            f" {network.inner_dim}, {settings.in_channels} channels in and {network.out_channels}"
            " out; they must be equal"
        )
    return part


def _open_vae(folder: Path, transformer: Any) -> Part:  # noqa: ANN401 - its configuration
    """Open the autoencoder whose latents the transformer takes."""
    weights, path = open_weights(folder), folder / "config.json"
    part = Part(_make(path, AutoencoderKL, **_settings(path, AutoencoderKL)), weights)
    settings = part.network.config
    pixels = 2 ** (len(settings.block_out_channels) - 1) * transformer.patch_size
    if settings.latent_channels != transformer.in_channels or pixels != PIXELS_PER_TOKEN:
        raise WeightsError(
            f"{folder}: latents of {settings.latent_channels} channels, {pixels} pixels to a token;"
            f" the transformer needs {transformer.in_channels} and {PIXELS_PER_TOKEN}"
        )
    for name in ("scaling_factor", "shift_factor"):
        if not isinstance(settings[name], int | float):
            raise WeightsError(
                f"{path}: {name} is {settings[name]!r}; this is not SD3's autoencoder"
            )
    return part


def _motion_file(folder: Path) -> Path:
    """Find the one MotionEncoder's file of a folder; safetensors go before pickles."""
    found = sorted(path for path in folder.glob("*") if MOTION_FILES.fullmatch(path.name))
    files = [path for path in found if path.suffix.lower() == ".safetensors"] or found
    if not files:
        raise WeightsError(
            f"{folder}: no MotionEncoder's file (*motion*.safetensors, .pt, .pth or .bin); {AGAIN}"
        )
    if len(files) > 1:
        raise WeightsError(
            f"{folder}: more than one MotionEncoder's file:"
            f" {list_some(path.name for path in files)}; leave one there"
        )
    return files[0]


def _open_motion_encoder(path: Path, blocks: int, width: int) -> Part:
    """Open a MotionEncoder of its file's shapes, for so many blocks of a width."""
    weights = stored.open_file(path)
    entries = weights.entries
    try:
        channels = tuple(entries[f"blocks.0.{i}.weight"].shape[0] for i in (0, 2, 4, 6))
    except (KeyError, IndexError):
        raise WeightsError(
            f"{path}: not a MotionEncoder's weights, which begin with blocks.0.0.weight; found"
            f" {list_some(entries) or 'nothing'}"
        ) from None
    if channels[-1] != width:
        raise WeightsError(
            f"{path}: a MotionEncoder of {channels[-1]} channels, but the transformer has {width};"
            " give the one that was trained with it"
        )
    embeddings = len({name.split(".")[1] for name in entries if name.startswith("blocks.")})
    sizes = {"channels": channels, "embeddings": embeddings, "blocks": blocks}
    return Part(_make(path, _make_motion_encoder, **sizes), weights)


def _make_motion_encoder(channels: tuple[int, ...], embeddings: int, blocks: int) -> MotionEncoder:
    return MotionEncoder(
        MotionEncoderConfig(
            channels=channels, embeddings=embeddings, blocks_per_embedding=-(-blocks // embeddings)
        )
    )


def _settings(path: Path, kind: Any) -> dict[str, Any]:  # noqa: ANN401 - a class of diffusers
    """Read config.json, without diffusers' own notes, which begin with an underscore."""
    values = {name: value for name, value in stored.read_json(path).items() if name[:1] != "_"}
    unknown = [name for name in values if name not in inspect.signature(kind).parameters]
    if unknown:
        raise WeightsError(
            f"{path}: {kind.__name__} of this diffusers knows no {list_some(unknown)};"
            " the folder is of another model, or diffusers too old: pip install -U diffusers"
        )
    return values


def _make(path: Path, make: Any, **settings: Any) -> Any:  # noqa: ANN401 - a network
    """Make a network on the meta device, where it takes no memory."""
    try:
        with torch.device("meta"):
            return make(**settings)
    except ConfigError as error:
        raise WeightsError(f"{path}: {error}") from error
    except Exception as error:  # noqa: BLE001 - diffusers checks few of its settings itself
        raise WeightsError(f"{path}: makes no network ({first_line(error)}); {AGAIN}") from error
