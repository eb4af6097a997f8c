"""Weights of the sd3 tier: the published layout read strictly, and written whole or not at all."""

import json
import math
import os
import shutil
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="the sd3 extra is not installed")
pytest.importorskip("diffusers", reason="the sd3 extra is not installed")

from safetensors.torch import load_file, save_file
from support.tiny.sd3 import tiny_parts, write_tiny

from livemoments.errors import WeightsError
from livemoments.models.sd3 import stored
from livemoments.models.sd3.config import PUBLISHED, SD3_MEDIUM, Sd3Config
from livemoments.models.sd3.weights import Sd3Parts, check_sd3, load_sd3

MAIN = "transformer/diffusion_pytorch_model.safetensors"
REFERENCE = "transformer_ref/diffusion_pytorch_model.safetensors"
VAE = "vae/diffusion_pytorch_model.safetensors"
PROMPT = "empty_prompt.safetensors"
MOTION = "motion_encoder.safetensors"
PROJECTION = "transformer_blocks.1.attn.processor.point_proj.weight"


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> Path:
    return write_tiny(tmp_path_factory.mktemp("sd3") / "tiny")


@pytest.fixture
def tiny(written, tmp_path) -> Path:
    """A folder of weights to damage."""
    return Path(shutil.copytree(written, tmp_path / "tiny"))


@pytest.fixture(autouse=True)
def no_cache(tmp_path, monkeypatch) -> Path:
    """An empty Hugging Face cache."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


def config(folder: Path | str) -> Sd3Config:
    return Sd3Config(weights=folder)


def load(folder: Path | str) -> Sd3Parts:
    return load_sd3(config(folder), torch.float32)


def tensors_of(parts: Sd3Parts) -> dict[str, torch.Tensor]:
    prompt = {"prompt.tokens": parts.prompt.tokens, "prompt.pooled": parts.prompt.pooled}
    return {**parts.dual.state_dict(), **parts.vae.state_dict(), **prompt}


def assert_equal(one: Sd3Parts, other: Sd3Parts) -> None:
    a, b = tensors_of(one), tensors_of(other)
    assert a.keys() == b.keys()
    assert [name for name in a if not torch.equal(a[name], b[name])] == []


def change(path: Path, **tensors) -> None:
    """Give tensors of a file other values, or None to take them out."""
    changed = {**load_file(path), **tensors}
    kept = {name: tensor for name, tensor in changed.items() if tensor is not None}
    save_file(kept, path, metadata={"format": "pt"})


def configure(folder: Path, **values) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def assert_refused(folder: Path | str, *words: str, by=load) -> str:
    """In one line that says these words."""
    with pytest.raises(WeightsError) as caught:
        by(folder)
    message = str(caught.value)
    assert "\n" not in message and [word for word in words if word not in message] == [], message
    return message


# --- what is whole --------------------------------------------------------------------------------


def test_a_round_trip_keeps_every_value(written):
    assert_equal(load(written), tiny_parts())


def test_loaded_parts_are_real_still_and_of_one_type(written):
    parts = load_sd3(config(written), torch.float16)
    modules = (parts.dual, parts.vae)
    assert not any(module.training for module in modules)
    for tensor in [t for m in modules for t in (*m.parameters(), *m.buffers())]:
        assert tensor.device.type == "cpu" and tensor.dtype == torch.float16
        assert not tensor.requires_grad
    assert parts.prompt.tokens.dtype == parts.prompt.pooled.dtype == torch.float16


def test_the_autoencoder_is_never_bfloat16(written):
    parts = load_sd3(config(written), torch.bfloat16)
    assert parts.vae.dtype == torch.float32
    assert {p.dtype for p in parts.dual.parameters()} == {torch.bfloat16}


def test_loaded_parts_restore(written):
    parts, t = load(written), torch.tensor([0.1])
    z = torch.zeros(1, 16, 8, 8)
    assert parts.dual(z, z, torch.zeros(1, 2, 64, 64), parts.prompt, t).isfinite().all()


def test_the_releases_own_files_are_read(tiny):
    """A pickled MotionEncoder under another name, two prompt files, a class of its own."""
    parts = tiny_parts()
    torch.save(parts.dual.motion_encoder.state_dict(), tiny / "motion_encoder_weight.pt")
    torch.save(parts.prompt.tokens[0], tiny / "prompt_embeds.pt")
    torch.save(parts.prompt.pooled[0], tiny / "pooled_prompt_embeds.pt")
    (tiny / MOTION).unlink()
    (tiny / PROMPT).unlink()
    configure(tiny / "transformer", _class_name="SD3TransformerFuseMotion2DModel", _name_or_path="")
    assert_equal(load(tiny), parts)


def test_safetensors_go_before_pickles(tiny):
    (tiny / "old_motion.pt").write_bytes(b"not looked at")
    assert_equal(load(tiny), tiny_parts())


@pytest.mark.parametrize("name", ["diffusion_pytorch_model.fp16.safetensors", "bin"])
def test_other_names_and_pickles(tiny, name):
    path = tiny / MAIN
    if name == "bin":
        torch.save(load_file(path), path.with_suffix(".bin"))
        path.unlink()
    else:
        path.rename(path.with_name(name))
    assert_equal(load(tiny), tiny_parts())


def test_sd3s_folder_gives_the_autoencoder_and_the_prompt(tiny, tmp_path):
    base = tmp_path / "base"
    base.mkdir()
    shutil.move(tiny / "vae", base / "vae")
    shutil.move(tiny / PROMPT, base / PROMPT)
    assert_equal(load_sd3(Sd3Config(weights=tiny, base=base), torch.float32), tiny_parts())


def test_large_models_are_written_in_shards(tmp_path, monkeypatch):
    monkeypatch.setattr(stored, "SHARD_BYTES", 200_000)
    folder = write_tiny(tmp_path / "sharded")
    names = sorted(path.name for path in (folder / "transformer").iterdir())
    assert names[1:3] == [
        "diffusion_pytorch_model-00001-of-00003.safetensors",
        "diffusion_pytorch_model-00002-of-00003.safetensors",
    ]
    assert_equal(load(folder), tiny_parts())
    (folder / "transformer" / names[2]).unlink()
    assert_refused(folder, "index.json", names[2])


def test_diffusers_reads_what_is_written(written):
    from diffusers import AutoencoderKL, SD3Transformer2DModel

    reference = SD3Transformer2DModel.from_pretrained(written / "transformer_ref")
    wanted = tiny_parts().dual.reference.state_dict()
    assert all(torch.equal(wanted[name], tensor) for name, tensor in reference.state_dict().items())
    assert AutoencoderKL.from_pretrained(written / "vae").config.shift_factor == 0.0609


# --- what is not ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "by"),
    [
        *((name, load) for name in ("transformer", "transformer_ref", "vae", MAIN, VAE, MOTION)),
        *((name, lambda folder: check_sd3(config(folder))) for name in (REFERENCE, PROMPT)),
    ],
)
def test_a_missing_part_is_named(tiny, name, by):
    path = tiny / name
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    words = {"vae": [SD3_MEDIUM, "hf download"], MOTION: [str(tiny), "*motion*"]}
    assert_refused(tiny, *words.get(name, [str(path.parent), path.name]), by=by)


def test_loading_needs_the_prompt(tiny):
    (tiny / PROMPT).unlink()
    assert_refused(tiny, PROMPT, "livemoments lab embed-prompt")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        (MAIN, None), (MAIN, b"not weights \xff\xfe\x00" * 99), (MOTION, None), (PROMPT, b"[1]"),
        ("transformer/config.json", b"[1]"), ("transformer/config.json", b"not JSON \xff"),
    ],
)  # fmt: skip
def test_a_damaged_file_is_named(tiny, name, content):
    path = tiny / name
    path.write_bytes(path.read_bytes()[:-100] if content is None else content)
    assert_refused(tiny, str(path))


@pytest.mark.parametrize("keep", [0, 10, 0.99, "text", "list", "nested", "sparse"])
def test_a_damaged_or_strange_pickle_is_named(tiny, keep):
    path = tiny / "motion.pt"
    state = load_file(tiny / MOTION)
    (tiny / MOTION).unlink()
    strange = {"list": [1], "nested": {"state_dict": state}, "sparse": {"a": torch.eye(2)}}
    strange["sparse"]["a"] = strange["sparse"]["a"].to_sparse()
    torch.save(strange.get(keep, state), path)
    whole = path.read_bytes()
    if keep == "text":
        path.write_text("x" * 999)
    elif keep not in strange:
        path.write_bytes(whole[: math.ceil(keep * (len(whole) if keep < 1 else 1))])
    assert_refused(tiny, str(path))


def test_a_pickle_never_runs_code(tiny):
    class Malice:
        def __reduce__(self):
            return os.mkdir, (str(tiny / "harmed"),)

    torch.save({"blocks.0.0.weight": Malice()}, tiny / "motion.pt")
    (tiny / MOTION).unlink()
    assert_refused(tiny, "motion.pt")
    assert not (tiny / "harmed").exists()


def test_missing_tensors_are_listed(tiny):
    change(tiny / MAIN, **{PROJECTION: None, "proj_out.bias": None})
    message = assert_refused(tiny, "transformer", "missing: ", PROJECTION, "proj_out.bias")
    assert "more" not in message and "unexpected" not in message


def test_the_table_of_positions_must_be_there(tiny):
    change(tiny / MAIN, **{"pos_embed.pos_embed": None})
    assert_refused(tiny, "missing: pos_embed.pos_embed")


def test_more_than_three_are_counted(tiny):
    change(tiny / MAIN, **{f"extra.{i}": torch.zeros(2) for i in range(7)})
    assert_refused(tiny, "unexpected: extra.0, extra.1, extra.2 and 4 more")


def test_another_shape_is_shown(tiny):
    change(tiny / MAIN, **{"proj_out.weight": torch.zeros(64, 31)})
    assert_refused(tiny, "proj_out.weight [64, 31] instead of [64, 32]")


def test_quantised_weights_are_refused(tiny):
    change(tiny / MAIN, **{"proj_out.weight": torch.zeros(64, 32, dtype=torch.int8)})
    assert_refused(tiny, "not floating point: proj_out.weight (i8)")


def test_a_branch_in_place_of_the_other_is_refused(tiny):
    shutil.copy(tiny / REFERENCE, tiny / MAIN)
    assert_refused(tiny, "point_proj")


def test_two_motion_encoders_are_refused(tiny):
    shutil.copy(tiny / MOTION, tiny / "other_motion.safetensors")
    assert_refused(tiny, "other_motion.safetensors", "leave one")


def test_a_motion_encoder_of_another_width_is_refused(tiny):
    weight = load_file(tiny / MOTION)["blocks.0.6.weight"]
    change(tiny / MOTION, **{"blocks.0.6.weight": weight[:24]})
    assert_refused(tiny, MOTION, "24 channels", "32")


@pytest.mark.parametrize("name", ["blocks.0.2.weight", "blocks.1.0.bias"])
def test_a_motion_encoder_in_part_is_refused(tiny, name):
    change(tiny / MOTION, **{name: None})
    assert_refused(tiny, MOTION)


@pytest.mark.parametrize("values", [{"qk_norm": "rms_norm"}, {"dual_attention_layers": [0, 1]}])
def test_sd35_is_refused(tiny, values):
    configure(tiny / "transformer", **values)
    assert_refused(tiny, "SD3.5", str(tiny / "transformer" / "config.json"))


@pytest.mark.parametrize(
    "values",
    [
        {"num_layers": 2}, {"num_layers": 0}, {"num_layers": True},
        {"patch_size": 4}, {"attention_head_dim": 10**30}, {"surprise": 1}, {"out_channels": 32},
        {"caption_projection_dim": 24}, {"in_channels": 4},
    ],
)  # fmt: skip
def test_another_configuration_is_refused(tiny, values):
    configure(tiny / "transformer", **values)
    assert_refused(tiny, str(tiny / "transformer"))


@pytest.mark.parametrize(
    "values",
    [
        {"latent_channels": 4}, {"shift_factor": None}, {"scaling_factor": "x"}, {"surprise": 1},
        {"block_out_channels": [8, 8]}, {"norm_num_groups": 3}, {"block_out_channels": 8},
        {"down_block_types": ["Nonsense"] * 4},
    ],
)  # fmt: skip
def test_another_autoencoder_is_refused(tiny, values):
    configure(tiny / "vae", **values)
    assert_refused(tiny, str(tiny / "vae"))


@pytest.mark.parametrize(
    "content", ["{}", '{"weight_map": 3}', '{"weight_map": {"a": "../x"}}', "{", "[" * 99_999]
)
def test_a_strange_index_is_refused(tiny, content):
    (tiny / MAIN).rename(tiny / "elsewhere")
    index = tiny / f"{MAIN}.index.json"
    index.write_text(content)
    assert_refused(tiny, str(index))


@pytest.mark.parametrize(
    ("name", "tensor", "words"),
    [
        ("prompt_embeds", torch.zeros(1, 7, 24), "all zeros"),
        ("pooled_prompt_embeds", torch.zeros(1, 40), "all zeros"),
        ("prompt_embeds", torch.full((1, 7, 24), torch.nan), "not finite"),
        ("prompt_embeds", torch.ones(1, 7, 23), "[1, X, 24]"),
        ("prompt_embeds", torch.ones(2, 7, 24), "[1, X, 24]"),
        ("prompt_embeds", torch.ones(1, 0, 24), "[1, X, 24]"),
        ("pooled_prompt_embeds", torch.ones(40, 1), "[1, 40]"),
        ("prompt_embeds", None, "without prompt_embeds"),
    ],
)
def test_embeddings_that_no_encoder_made_are_refused(tiny, name, tensor, words):
    change(tiny / PROMPT, **{name: tensor})
    assert_refused(tiny, PROMPT, words, "livemoments lab embed-prompt")


def test_half_of_the_releases_prompt_is_refused(tiny):
    (tiny / PROMPT).unlink()
    torch.save(torch.ones(40), tiny / "pooled_prompt_embeds.pt")
    assert_refused(tiny, "prompt_embeds.pt, is not next to it")


# --- where weights are looked for -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "words"),
    [
        (PUBLISHED, [f"`hf download {PUBLISHED}`", "Stability AI Community License"]),
        ("some/repository", ["`hf download some/repository`"]),
        ("nowhere", ["not a folder"]),
        ("/no/such/folder", ["not a folder"]),
        ("a/../b", ["a/../b"]),
        ("x" * 5000, ["not a folder"]),
        ("zero\0byte", ["not a folder"]),
    ],
)
def test_what_is_nowhere_is_named_with_what_to_do(name, words, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert_refused(name, *words)


def test_a_file_is_no_folder(tiny):
    assert_refused(tiny / MOTION, "not a folder")


@pytest.mark.parametrize("complete", [True, False])
def test_the_hubs_cache_is_looked_into(written, no_cache, complete):
    """Also where only some of a repository's files were downloaded."""
    commit = "0123456789abcdef0123456789abcdef01234567"
    repository = no_cache / "models--Clara-7--LiveMoments"
    shutil.copytree(written, repository / "snapshots" / commit)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(commit)
    if not complete:
        (repository / "trees").mkdir()
        entry = {"size": 1, "blob_id": "0" * 40}
        (repository / "trees" / f"{commit}.json").write_text(json.dumps({"README.md": entry}))
    assert_equal(load(PUBLISHED), tiny_parts())
