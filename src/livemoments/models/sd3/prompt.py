"""Read the empty prompt's embeddings, which the sd3 tier always gets, and make them once.

Whether the release was trained with T5's share of them is not known: without `text_encoder_3`,
diffusers takes zeros for it. The result of making them says which it was.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from livemoments.errors import WeightsError, first_line, list_some
from livemoments.extras import need_sd3
from livemoments.files import atomic_output, check_output
from livemoments.models.sd3.quiet import quiet_transformers
from livemoments.models.sd3.stored import (
    AGAIN,
    find_folder,
    open_file,
    read_json,
    unpickle,
    write_errors,
    write_file,
)
from livemoments.networks.sd3 import SD3_MEDIUM, Prompt, make_transformer

PROMPT_FILE = "empty_prompt.safetensors"
NAMES = ("prompt_embeds", "pooled_prompt_embeds")  # of tokens and pooled
RELEASED = tuple(f"{name}.pt" for name in NAMES)
CLIP_PARTS = ("tokenizer", "text_encoder", "tokenizer_2", "text_encoder_2")
T5 = "text_encoder_3"
MAKE = "`livemoments lab embed-prompt` makes it anew"
# A text encoder in full precision; else its files bear the variant's name.
PLAIN = [
    f"{name}{index}"
    for name in ("model.safetensors", "pytorch_model.bin")
    for index in ("", ".index.json")
]
WITH_T5 = "made with T5; whether the release was trained with T5's embeddings is not known"
WITHOUT_T5 = (
    "made without T5: BASE has no text_encoder_3, and its tokens are zeros, as diffusers has them;"
    " whether the release was trained so is not known"
)


def prompt_files(folders: Sequence[Path]) -> list[Path]:
    """Find our one file or the release's two in the first folder that has them; else none."""
    for folder in folders:
        if os.path.isfile(folder / PROMPT_FILE):
            return [folder / PROMPT_FILE]
        found = [folder / name for name in RELEASED if os.path.isfile(folder / name)]
        if len(found) == 1:
            other = next(name for name in RELEASED if name != found[0].name)
            raise WeightsError(f"{found[0]}: the prompt's other file, {other}, is not next to it")
        if found:
            return found
    return []


def read_prompt(files: Sequence[Path], width: int, pooled_width: int) -> Prompt:
    """Read the files that `prompt_files` found, in float32.

    Args:
        files: One of ours, or two of the release.
        width: The transformer's joint_attention_dim.
        pooled_width: Its pooled_projection_dim.

    Raises:
        WeightsError: they are of another size, not finite, or zeros.
    """
    source = files[0]
    read = _our_tensors(source) if len(files) == 1 else [_one_tensor(file) for file in files]
    tokens, pooled = (tensor.to(torch.float32) for tensor in read)
    prompt = Prompt(
        tokens[None] if tokens.ndim == 2 else tokens, pooled[None] if pooled.ndim == 1 else pooled
    )
    check_prompt(prompt, source, width, pooled_width)
    return prompt


def check_prompt(prompt: Prompt, source: Path, width: int, pooled_width: int) -> None:
    """Raise WeightsError, about the source, unless a text encoder may have made the prompt."""
    wanted = {"prompt_embeds": (1, "X", width), "pooled_prompt_embeds": (1, pooled_width)}
    for (name, shape), tensor in zip(wanted.items(), (prompt.tokens, prompt.pooled), strict=True):
        found = tuple(tensor.shape)
        fits = len(found) == len(shape) and 0 not in found
        if not fits or any(a not in (b, "X") for a, b in zip(shape, found, strict=True)):
            raise WeightsError(
                f"{source}: {name} is {list(found)}, the transformer needs"
                f" [{', '.join(map(str, shape))}]; make it from this model's text encoders with"
                " `livemoments lab embed-prompt`"
            )
        if not tensor.isfinite().all():
            raise WeightsError(f"{source}: {name} holds values that are not finite; {MAKE}")
        if not tensor.any():
            raise WeightsError(
                f"{source}: {name} is all zeros, but the release was trained with what the text"
                f" encoders make of the empty prompt; {MAKE}"
            )


def write_prompt(path: Path, prompt: Prompt) -> None:
    """Write our one file."""
    write_file(path, dict(zip(NAMES, (prompt.tokens, prompt.pooled), strict=True)))


def embed_empty_prompt(
    base: Path | str, output: Path, *, overwrite: bool = False
) -> dict[str, object]:
    """Make `empty_prompt.safetensors` with the text encoders of SD3-medium's folder, in float32.

    T5 may be absent; then its tokens are zeros, and the facts that are returned say so. With T5
    this needs some 20 GB of memory. Whether the release was trained with either is not known.

    Args:
        base: SD3-medium's folder, or its name in the Hugging Face cache.
        output: The file to write.
        overwrite: Whether it may be replaced.

    Raises:
        WeightsError: a part of the folder is missing or damaged.
        OutputError: the file exists or cannot be written.
        MissingExtraError: transformers is not installed.
    """
    need_sd3("embedding the prompt", "transformers")
    check_output(output, overwrite=overwrite)
    folder = find_folder(base)
    t5 = os.path.isdir(folder / T5)
    parts = [*CLIP_PARTS, "tokenizer_3"] if t5 else CLIP_PARTS
    missing = [part for part in parts if not os.path.isdir(folder / part)]
    if missing:
        raise WeightsError(f"{folder}: without {list_some(missing)}, which SD3-medium has; {AGAIN}")
    with quiet_transformers(), torch.inference_mode():
        prompt = _embed(folder, t5)
    check_prompt(prompt, folder, prompt.tokens.shape[-1], prompt.pooled.shape[-1])
    with write_errors(output), atomic_output(output, overwrite=overwrite) as temporary:
        write_prompt(temporary, prompt)
    _, tokens, width = prompt.tokens.shape
    return {
        "path": str(output),
        "tokens": tokens,
        "width": width,
        "pooled": prompt.pooled.shape[-1],
        "t5": t5,
        "note": WITH_T5 if t5 else WITHOUT_T5,
    }


def _embed(folder: Path, t5: bool) -> Prompt:
    """Have diffusers' own pipeline for SD3 embed the empty prompt."""
    from diffusers import StableDiffusion3Pipeline
    from transformers import (
        CLIPTextModelWithProjection,
        CLIPTokenizer,
        T5EncoderModel,
        T5TokenizerFast,
    )

    parts: dict[str, Any] = {
        "tokenizer": _loaded(CLIPTokenizer, folder / "tokenizer"),
        "tokenizer_2": _loaded(CLIPTokenizer, folder / "tokenizer_2"),
        "tokenizer_3": _loaded(T5TokenizerFast, folder / "tokenizer_3") if t5 else None,
        "text_encoder": _encoder(CLIPTextModelWithProjection, folder / "text_encoder"),
        "text_encoder_2": _encoder(CLIPTextModelWithProjection, folder / "text_encoder_2"),
        "text_encoder_3": _encoder(T5EncoderModel, folder / T5) if t5 else None,
        "transformer": None if t5 else _stand_in(folder),
    }
    try:
        pipeline = StableDiffusion3Pipeline(scheduler=None, vae=None, **parts)
        tokens, _, pooled, _ = pipeline.encode_prompt(
            "", "", "", device=torch.device("cpu"), do_classifier_free_guidance=False
        )
    except Exception as error:  # noqa: BLE001 - encoders that do not fit fail in many ways
        raise _unusable(folder, error) from error
    return Prompt(tokens, pooled)


def _stand_in(folder: Path) -> Any:  # noqa: ANN401 - diffusers' transformer
    """Make a transformer without values: without T5, diffusers asks it how wide T5's zeros are."""
    path = folder / "transformer" / "config.json"
    stored = read_json(path) if os.path.isfile(path) else {}
    width = stored.get("joint_attention_dim", SD3_MEDIUM["joint_attention_dim"])
    if not isinstance(width, int) or width < 1:
        raise WeightsError(f"{path}: joint_attention_dim is {width!r}; {AGAIN}")
    with torch.device("meta"):
        return make_transformer(
            {**SD3_MEDIUM, "num_layers": 1, "joint_attention_dim": width}, guided=False
        )


def _encoder(kind: Any, folder: Path) -> Any:  # noqa: ANN401 - classes of transformers
    """Load a text encoder with all of its weights: transformers alone would draw missing ones."""
    plain = any(os.path.isfile(folder / name) for name in PLAIN)
    model, report = _loaded(
        kind, folder, output_loading_info=True, variant=None if plain else "fp16"
    )
    if report["missing_keys"]:
        missing = list_some(sorted(report["missing_keys"]))
        raise WeightsError(f"{folder}: not this text encoder's weights; missing: {missing}")
    return model.float().eval()


def _loaded(kind: Any, folder: Path, **options: Any) -> Any:  # noqa: ANN401
    try:
        return kind.from_pretrained(folder, local_files_only=True, **options)
    except Exception as error:  # noqa: BLE001 - transformers' errors share no base class
        raise _unusable(folder, error) from error


def _unusable(folder: Path, error: Exception) -> WeightsError:
    reason = first_line(error)
    return WeightsError(f"{folder}: not usable as SD3-medium's text encoders ({reason}); {AGAIN}")


def _our_tensors(path: Path) -> list[Tensor]:
    tensors = open_file(path).tensors(torch.float32)
    missing = [name for name in NAMES if name not in tensors]
    if missing:
        raise WeightsError(f"{path}: without {list_some(missing)}; {MAKE}")
    return [tensors[name] for name in NAMES]


def _one_tensor(path: Path) -> Tensor:
    value = unpickle(path)
    if not isinstance(value, Tensor) or value.layout is not torch.strided or value.is_meta:
        raise WeightsError(f"{path}: holds no tensor; {MAKE}")
    return value
