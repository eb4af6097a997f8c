"""The sd3 tier's weights: loaded strictly from the published layout, and written in it.

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

from livemoments.errors import ConfigError, WeightsError, list_some
from livemoments.models.sd3.config import Sd3Config
from livemoments.models.sd3.prompt import PROMPT_FILE, prompt_files, read_prompt, write_prompt
from livemoments.models.sd3.stored import (
    AGAIN,
    LICENCE,
    Stored,
    compare,
    fill,
    find_folder,
    model_folder,
    open_file,
    open_weights,
    read_json,
    write_file,
    write_model,
)
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


@dataclass(frozen=True)
class _Part:
    """A network on the meta device, and weights whose names and shapes are its."""

    network: Any
    stored: Stored

    def facts(self) -> dict[str, Any]:
        """What it is, for people; the table of positions is no parameter."""
        count = sum(parameter.numel() for parameter in self.network.parameters())
        return {"million_parameters": round(count / 1e6, 3)} | self.stored.facts()


@dataclass(frozen=True)
class _Opened:
    """Folders in which everything has been found to fit; values are not yet read."""

    folder: Path
    base: Path  # where the autoencoder is
    restoration: _Part
    reference: _Part
    motion_encoder: _Part
    vae: _Part
    prompt_files: list[Path]  # none where it is missing

    def prompt(self) -> Prompt:
        """The empty prompt's embeddings, which must be there."""
        return _prompt(self.prompt_files, self.folder, self.restoration.network)


def load_sd3(config: Sd3Config, dtype: torch.dtype) -> Sd3Parts:
    """The model's parts on the CPU, in evaluation mode, with nothing to train.

    All are of dtype, but for the autoencoder where that is bfloat16: of 8 bits, its own values
    would show in pictures, and it stays in float32.

    Raises:
        WeightsError: something is missing, damaged or of another model.
    """
    opened = _open(config)
    prompt = opened.prompt()
    parts = (opened.restoration, opened.reference, opened.motion_encoder)
    dual = DualBranch(*(fill(part.network, part.stored, dtype) for part in parts))
    vae_dtype = torch.float32 if dtype == torch.bfloat16 else dtype
    return Sd3Parts(
        dual=dual.eval(),
        vae=fill(opened.vae.network, opened.vae.stored, vae_dtype),
        prompt=Prompt(prompt.tokens.to(dtype), prompt.pooled.to(dtype)),
    )


def summary(config: Sd3Config) -> dict[str, Any]:
    """What the folders hold, for people and JSON, after every check but that of the values.

    Only headers are read, and the prompt, which is None where it is missing.

    Raises:
        WeightsError: something is missing, damaged or of another model.
    """
    return _summary(_open(config))


def check_sd3(config: Sd3Config) -> dict[str, Any]:
    """The summary, where all is there that `load_sd3` needs.

    Raises:
        WeightsError: something is missing, the prompt included, damaged or of another model.
    """
    opened = _open(config)
    opened.prompt()
    return _summary(opened)


def new_dual_branch(base: Path | str, dtype: torch.dtype) -> DualBranch:
    """Both branches as SD3-medium's own transformer: where training begins (paper, B.2).

    The motion projections are zero, and the MotionEncoder is drawn by PyTorch's own generator.

    Args:
        base: SD3-medium's folder, or its name in the Hugging Face cache.
        dtype: Of the weights.

    Raises:
        WeightsError: the transformer is missing, damaged or not SD3-medium's.
    """
    folder = find_folder(base) / "transformer"
    restoration, reference = (
        _open_transformer(folder, guided=guided, fresh=MOTION_PROJECTION)
        for guided in (True, False)
    )
    blocks, width = len(restoration.network.transformer_blocks), restoration.network.inner_dim
    embeddings = min(EMBEDDINGS, -(-blocks // 2))
    encoder = MotionEncoder(
        MotionEncoderConfig(
            channels=(512, 1024, width, width),
            embeddings=embeddings,
            blocks_per_embedding=-(-blocks // embeddings),
        )
    )
    dual = DualBranch(
        fill(restoration.network, restoration.stored, dtype, fresh=MOTION_PROJECTION),
        fill(reference.network, reference.stored, dtype),
        encoder.to(dtype),
    )
    return dual.train().requires_grad_(True)


def new_parts(base: Path | str, dtype: torch.dtype) -> Sd3Parts:
    """`new_dual_branch` with SD3-medium's autoencoder and its empty prompt.

    Raises:
        WeightsError: something is missing, damaged or not SD3-medium's.
    """
    folder = find_folder(base)
    dual = new_dual_branch(folder, dtype)
    vae = _open_vae(folder / "vae", dual.restoration.config)
    prompt = _prompt(prompt_files([folder]), folder, dual.restoration)
    return Sd3Parts(dual=dual, vae=fill(vae.network, vae.stored, dtype), prompt=prompt)


def save_sd3(
    folder: Path,
    dual: DualBranch,
    *,
    vae: AutoencoderKL | None = None,
    prompt: Prompt | None = None,
    overwrite: bool = False,
) -> None:
    """Write the published layout: beside its place, then moved there as a whole.

    Args:
        folder: Where; it must not exist, or be empty.
        dual: Both branches and the MotionEncoder.
        vae: The autoencoder; without it, SD3-medium's folder is needed to load again.
        prompt: The empty prompt's embeddings, which loading asks for.
        overwrite: Whether a folder that holds such weights, and nothing else, is replaced.

    Raises:
        OutputError: the folder holds something, or cannot be written.
    """
    with model_folder(folder, WRITTEN.fullmatch, overwrite=overwrite) as temporary:
        write_model(temporary / "transformer", dual.restoration)
        write_model(temporary / "transformer_ref", dual.reference)
        write_file(temporary / MOTION_FILE, dual.motion_encoder.state_dict())
        if vae is not None:
            write_model(temporary / "vae", vae)
        if prompt is not None:
            write_prompt(temporary / PROMPT_FILE, prompt)


def _open(config: Sd3Config) -> _Opened:
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
    return _Opened(
        folder=folder,
        base=base,
        restoration=restoration,
        reference=reference,
        motion_encoder=motion_encoder,
        vae=_open_vae(base / "vae", network.config),
        prompt_files=prompt_files([folder, base]),
    )


def _prompt(files: list[Path], folder: Path, transformer: Any) -> Prompt:  # noqa: ANN401
    """The empty prompt's embeddings in files, for a transformer; folder is where to put them."""
    if not files:
        raise WeightsError(
            f"{folder}: all there but the empty prompt's embeddings; `livemoments"
            f" embed-prompt SD3_FOLDER -o {folder / PROMPT_FILE}` makes them once from"
            " SD3-medium's text encoders"
        )
    settings = transformer.config
    return read_prompt(files, settings.joint_attention_dim, settings.pooled_projection_dim)


def _open_transformer(folder: Path, *, guided: bool, fresh: str | None = None) -> _Part:
    """One branch; fresh as for `compare`."""
    stored = open_weights(folder)
    path = folder / "config.json"
    values = _settings(path, SD3Transformer2DModel)
    for name in SD3_MEDIUM:
        value = values.get(name, SD3_MEDIUM[name])
        if type(value) is not int or value < 1:
            raise WeightsError(f"{path}: {name} must be a positive number, found {value!r}")
    try:
        network = _made(path, make_transformer, config=values, guided=guided)
    except ConfigError as error:
        raise WeightsError(f"{path}: {error}") from error
    compare(network, stored, fresh)
    settings = network.config
    if settings.caption_projection_dim != network.inner_dim or network.out_channels != (
        settings.in_channels
    ):
        raise WeightsError(
            f"{path}: text of width {settings.caption_projection_dim} and images of width"
            f" {network.inner_dim}, {settings.in_channels} channels in and {network.out_channels}"
            " out; they must be equal"
        )
    return _Part(network, stored)


def _open_vae(folder: Path, transformer: Any) -> _Part:  # noqa: ANN401 - its configuration
    """The autoencoder whose latents the transformer takes."""
    stored = open_weights(folder)
    path = folder / "config.json"
    network = _made(path, AutoencoderKL, **_settings(path, AutoencoderKL))
    compare(network, stored)
    settings = network.config
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
    return _Part(network, stored)


def _motion_file(folder: Path) -> Path:
    """The one MotionEncoder's file of a folder; safetensors go before pickles."""
    found = sorted(path for path in folder.glob("*") if MOTION_FILES.fullmatch(path.name))
    safe = [path for path in found if path.suffix.lower() == ".safetensors"]
    files = safe or found
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


def _open_motion_encoder(path: Path, blocks: int, width: int) -> _Part:
    """A MotionEncoder of the sizes that its file's shapes tell, for so many blocks of a width."""
    stored = open_file(path)
    entries = stored.entries
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
    try:
        config = MotionEncoderConfig(
            channels=channels,
            embeddings=embeddings,
            blocks_per_embedding=-(-blocks // embeddings),
        )
    except ConfigError as error:
        raise WeightsError(f"{path}: {error}") from error
    with torch.device("meta"):
        network = MotionEncoder(config)
    compare(network, stored)
    return _Part(network, stored)


def _settings(path: Path, kind: Any) -> dict[str, Any]:  # noqa: ANN401 - a class of diffusers
    """What config.json says, without diffusers' own notes, which begin with an underscore."""
    values = {name: value for name, value in read_json(path).items() if name[:1] != "_"}
    unknown = [name for name in values if name not in inspect.signature(kind).parameters]
    if unknown:
        raise WeightsError(
            f"{path}: {kind.__name__} of this diffusers knows no {list_some(unknown)};"
            " the folder is of another model, or diffusers too old: pip install -U diffusers"
        )
    return values


def _made(path: Path, make: Any, **given: Any) -> Any:  # noqa: ANN401 - a network of diffusers
    """A network on the meta device, where it takes no memory."""
    try:
        with torch.device("meta"):
            return make(**given)
    except ConfigError:
        raise
    except Exception as error:  # noqa: BLE001 - diffusers checks few of its settings itself
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise WeightsError(f"{path}: makes no network ({reason}); {AGAIN}") from error


def _summary(opened: _Opened) -> dict[str, Any]:
    network, encoder = opened.restoration.network, opened.motion_encoder
    branch = {"blocks": len(network.transformer_blocks), "width": network.inner_dim}
    prompt = opened.prompt() if opened.prompt_files else None
    return {
        "weights": str(opened.folder),
        "base": str(opened.base),
        "transformer": opened.restoration.facts() | branch,
        "transformer_ref": opened.reference.facts() | branch,
        "motion_encoder": encoder.facts() | encoder.network.config.to_dict(),
        "vae": opened.vae.facts() | {"latent_channels": opened.vae.network.config.latent_channels},
        "prompt": prompt
        and {
            "files": [str(file) for file in opened.prompt_files],
            "tokens": prompt.tokens.shape[1],
            "width": prompt.tokens.shape[2],
            "pooled": prompt.pooled.shape[1],
        },
        "licence": LICENCE,
    }
