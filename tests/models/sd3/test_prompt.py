"""The empty prompt's embeddings, made with tiny text encoders by diffusers' own pipeline."""

import importlib.util
import shutil
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="the sd3 extra is not installed")
pytest.importorskip("diffusers", reason="the sd3 extra is not installed")
pytest.importorskip("transformers", reason="the sd3 extra is not installed")

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from support.tiny.weights import CLIP_TOKENS, POOLED, T5_TOKENS, WIDTH, write_encoders

from livemoments.errors import MissingExtraError, OutputError, WeightsError
from livemoments.models.sd3 import stored
from livemoments.models.sd3.prompt import embed_empty_prompt, read_prompt


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> Path:
    return write_encoders(tmp_path_factory.mktemp("sd3") / "base")


@pytest.fixture
def base(written, tmp_path) -> Path:
    """A folder of text encoders to damage."""
    return Path(shutil.copytree(written, tmp_path / "base"))


def embed(base: Path, output: Path):
    made = embed_empty_prompt(base, output)
    return made, read_prompt([output], WIDTH, POOLED)


def test_the_prompt_is_embedded_by_all_three(written, tmp_path, capfd):
    made, prompt = embed(written, tmp_path / "made.safetensors")
    sizes = [made[name] for name in ("tokens", "width", "pooled")]
    assert sizes == [CLIP_TOKENS + T5_TOKENS, WIDTH, POOLED]
    assert made["t5"] and "not known" in made["note"]
    assert prompt.tokens.shape == (1, made["tokens"], WIDTH) and prompt.pooled.shape == (1, POOLED)
    assert prompt.tokens.dtype == torch.float32
    clips, t5 = prompt.tokens[0].split([CLIP_TOKENS, T5_TOKENS])
    assert t5.any() and clips[:, :20].any() and not clips[:, 20:].any()
    assert capfd.readouterr() == ("", "")


def test_its_share_is_what_the_encoder_says(written, tmp_path):
    from transformers import T5EncoderModel

    _, prompt = embed(written, tmp_path / "made.safetensors")
    encoder = T5EncoderModel.from_pretrained(written / "text_encoder_3")
    ids = torch.zeros(1, T5_TOKENS, dtype=torch.long)
    ids[0, 0] = 1  # the end; then padding
    with torch.no_grad():
        wanted = encoder(ids)[0]
    torch.testing.assert_close(prompt.tokens[:, CLIP_TOKENS:], wanted, atol=1e-6, rtol=0)


def test_without_t5_its_tokens_are_zeros_as_the_note_says(base, tmp_path):
    whole = embed(base, tmp_path / "whole.safetensors")[1]
    shutil.rmtree(base / "text_encoder_3")
    made, prompt = embed(base, tmp_path / "made.safetensors")
    assert not made["t5"] and "without T5" in made["note"]
    assert not prompt.tokens[:, CLIP_TOKENS:].any()
    assert torch.equal(prompt.tokens[:, :CLIP_TOKENS], whole.tokens[:, :CLIP_TOKENS])


def test_half_precision_files_do(base, tmp_path):
    """Under the variant's name, and T5 in several files, as they are published."""
    from transformers import T5EncoderModel

    whole = embed(base, tmp_path / "whole.safetensors")[1]
    t5 = T5EncoderModel.from_pretrained(base / "text_encoder_3").half()
    t5.save_pretrained(base / "text_encoder_3", variant="fp16", max_shard_size="10KB")
    (base / "text_encoder_3" / "model.safetensors").unlink()
    assert (base / "text_encoder_3" / "model.safetensors.index.fp16.json").is_file()
    for path in base.glob("text_encoder*/model.safetensors"):
        halves = {name: tensor.half() for name, tensor in load_file(path).items()}
        save_file(halves, path.with_name("model.fp16.safetensors"), metadata={"format": "pt"})
        path.unlink()
    prompt = embed(base, tmp_path / "made.safetensors")[1]
    torch.testing.assert_close(prompt.tokens, whole.tokens, atol=0.02, rtol=0)


def assert_refused(base: Path | str, output: Path, *words: str) -> None:
    with pytest.raises(WeightsError) as caught:
        embed_empty_prompt(base, output)
    message = str(caught.value)
    assert "\n" not in message and [word for word in words if word not in message] == [], message
    assert not output.exists()


@pytest.mark.parametrize(
    "part", ["tokenizer", "text_encoder", "tokenizer_2", "text_encoder_2", "tokenizer_3"]
)
def test_a_missing_part_is_named(base, tmp_path, part):
    shutil.rmtree(base / part)
    assert_refused(base, tmp_path / "made", part, "download it again")


@pytest.mark.parametrize(
    "name", ["text_encoder/model.safetensors", "text_encoder_3/config.json", "tokenizer_2"]
)
@pytest.mark.parametrize("content", ["", "{"])
def test_a_damaged_part_is_named(base, tmp_path, name, content):
    path = base / name
    for file in path.iterdir() if path.is_dir() else [path]:
        file.write_text(content)
    assert_refused(base, tmp_path / "made", name.partition("/")[0])


def test_weights_are_never_made_up(base, tmp_path):
    """Transformers would draw those that are missing, and only say so."""
    path = base / "text_encoder_2" / "model.safetensors"
    state = load_file(path)
    lost = next(name for name in state if name.endswith("mlp.fc1.weight"))
    del state[lost]
    save_file(state, path, metadata={"format": "pt"})
    assert_refused(base, tmp_path / "made", "missing", lost)


def test_what_is_not_finite_is_not_written(base, tmp_path):
    path = base / "text_encoder" / "model.safetensors"
    state = {name: torch.full_like(tensor, torch.nan) for name, tensor in load_file(path).items()}
    save_file(state, path, metadata={"format": "pt"})
    assert_refused(base, tmp_path / "made", "not finite")


def test_a_folder_that_is_not_there_is_refused(tmp_path):
    assert_refused(tmp_path / "nowhere", tmp_path / "made", "not a folder")


def test_an_output_is_kept_and_refused_before_the_work(written, tmp_path):
    output = tmp_path / "made"
    output.write_text("precious")
    with pytest.raises(OutputError, match="allow overwriting"):
        embed_empty_prompt(tmp_path / "nowhere", output)
    assert output.read_text() == "precious"
    embed_empty_prompt(written, output, overwrite=True)
    assert read_prompt([output.rename(tmp_path / "made.safetensors")], WIDTH, POOLED)


def test_a_prompt_that_cannot_be_written_is_an_error_of_the_output(written, tmp_path, monkeypatch):
    def fail(*_, **__):
        raise SafetensorError("no space left on device")

    monkeypatch.setattr(f"{stored.__name__}.save_file", fail)
    with pytest.raises(OutputError, match=r"made: cannot be written \(no space"):
        embed_empty_prompt(written, tmp_path / "made")
    assert not (tmp_path / "made").exists()


def test_without_transformers_the_extra_is_named(written, tmp_path, monkeypatch):
    found = importlib.util.find_spec
    there = lambda name: None if name == "transformers" else found(name)  # noqa: E731
    monkeypatch.setattr(importlib.util, "find_spec", there)
    with pytest.raises(MissingExtraError, match=r"needs transformers.*'livemoments\[sd3\]'"):
        embed_empty_prompt(written, tmp_path / "made")
