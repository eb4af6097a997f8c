"""Writing the sd3 tier's folders, whole or not at all; beginnings of training; sums of headers."""

import errno
import json
import os
import shutil
import struct
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="the sd3 extra is not installed")
pytest.importorskip("diffusers", reason="the sd3 extra is not installed")

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from support.tiny.sd3 import TRANSFORMER, tiny_parts, write_tiny

from livemoments import files
from livemoments.errors import OutputError, WeightsError
from livemoments.models.sd3 import stored
from livemoments.models.sd3.config import Sd3Config
from livemoments.models.sd3.weights import check_sd3, load_sd3, new_parts, save_sd3
from livemoments.networks.sd3 import SD3_MEDIUM, make_transformer

WEIGHTS = stored.WEIGHTS
POINT_PROJ = "point_proj.weight"


def listing(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def save(folder: Path, seed: int = 0, *, overwrite: bool = False, whole: bool = True) -> None:
    parts = tiny_parts(seed)
    more = {"vae": parts.vae, "prompt": parts.prompt} if whole else {}
    save_sd3(folder, parts.dual, overwrite=overwrite, **more)


# --- a folder, whole or not at all ----------------------------------------------------------------


def test_the_layout_is_the_published_one(tmp_path):
    save(tmp_path / "new")
    parts = ["transformer", "transformer_ref", "vae"]
    files = [f"{part}/{name}" for part in parts for name in ("config.json", WEIGHTS)]
    assert sorted(listing(tmp_path / "new")) == sorted(
        [*files, "empty_prompt.safetensors", "motion_encoder.safetensors"]
    )
    about = json.loads((tmp_path / "new/transformer/config.json").read_text())
    assert about["_class_name"] == "SD3Transformer2DModel"
    assert {name: about[name] for name in TRANSFORMER} == TRANSFORMER


def test_the_autoencoder_and_the_prompt_are_optional(tmp_path):
    save(tmp_path / "new", whole=False)
    assert {path.name for path in (tmp_path / "new").iterdir()} == {
        "transformer", "transformer_ref", "motion_encoder.safetensors",
    }  # fmt: skip


def test_an_empty_folder_is_filled(tmp_path):
    (tmp_path / "empty").mkdir()
    save(tmp_path / "empty")
    assert (tmp_path / "empty" / "transformer").is_dir()


def test_a_folder_with_something_in_it_is_kept(tmp_path):
    folder = tmp_path / "kept"
    save(folder)
    before = listing(folder)
    with pytest.raises(OutputError, match="not empty"):
        save(folder, seed=1)
    assert listing(folder) == before
    save(folder, seed=1, overwrite=True, whole=False)
    assert listing(folder) != before and not (folder / "vae").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]


@pytest.mark.parametrize("name", ["IMG_1.HEIC", "transformer/notes.txt", "checkpoints/last.pt"])
def test_a_folder_with_other_files_is_never_replaced(tmp_path, name):
    folder = tmp_path / "mine"
    save(folder)
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_text("precious")
    before = listing(folder)
    with pytest.raises(OutputError, match=Path(name).name):
        save(folder, overwrite=True)
    assert listing(folder) == before


def test_a_file_or_a_missing_parent_is_refused(tmp_path):
    (tmp_path / "file").write_text("precious")
    for folder, message in ((tmp_path / "file", "this is a file"), (tmp_path / "a/b", "create it")):
        with pytest.raises(OutputError, match=message):
            save(folder, overwrite=True)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("failure", [OSError(errno.ENOSPC, "no space left"), KeyboardInterrupt()])
@pytest.mark.parametrize("overwrite", [False, True])
def test_a_failure_leaves_what_was_there(tmp_path, monkeypatch, failure, overwrite):
    folder = tmp_path / "model"
    if overwrite:
        save(folder)
    before = listing(tmp_path)

    def fail(path, tensors):
        path.write_bytes(b"half")
        raise failure

    monkeypatch.setattr(stored, "write_file", fail)  # the MotionEncoder's, after the transformers
    with pytest.raises(
        KeyboardInterrupt if isinstance(failure, KeyboardInterrupt) else OutputError
    ):
        save(folder, seed=1, overwrite=overwrite)
    assert listing(tmp_path) == before


@pytest.mark.parametrize("writer", ["safetensors.torch.save_file", f"{stored.__name__}.save_file"])
def test_an_error_of_safetensors_is_one_of_the_output(tmp_path, monkeypatch, writer):
    """Of diffusers' own files, and of ours; the folder is named, not the temporary one."""

    def fail(*_, **__):
        raise SafetensorError("Error while serializing: no space left on device")

    monkeypatch.setattr(writer, fail)
    with pytest.raises(OutputError, match=r"model: cannot be written \(Error while serializing"):
        save(tmp_path / "model")
    assert list(tmp_path.iterdir()) == []


def test_a_failed_move_brings_the_old_folder_back(tmp_path, monkeypatch):
    folder = tmp_path / "model"
    save(folder)
    before, rename = listing(tmp_path), os.rename

    def fail(source, target):
        if Path(target) == folder and not str(source).endswith("-before"):
            raise OSError(errno.EIO, "input/output error")
        rename(source, target)

    monkeypatch.setattr(os, "rename", fail)
    with pytest.raises(OutputError, match="input/output error"):
        save(folder, seed=1, overwrite=True)
    assert listing(tmp_path) == before


def test_what_came_into_the_folder_meanwhile_is_kept(tmp_path):
    folder = tmp_path / "model"
    with (
        pytest.raises(OutputError, match="cannot be written"),
        files.atomic_folder(folder, bool, overwrite=False) as temporary,
    ):
        (temporary / "ours").write_text("new")
        folder.mkdir()
        (folder / "theirs").write_text("precious")
    assert listing(tmp_path) == {"model/theirs": b"precious"}


# --- where training begins ------------------------------------------------------------------------


@pytest.fixture
def base(tmp_path) -> Path:
    """SD3-medium's folder, tiny: a transformer without motion projections, and the rest."""
    folder = write_tiny(tmp_path / "base")
    path = folder / "transformer" / WEIGHTS
    kept = {n: t for n, t in load_file(path).items() if not n.endswith(POINT_PROJ)}
    save_file(kept, path, metadata={"format": "pt"})
    return folder


def test_both_branches_begin_as_sd3(base):
    dual = new_parts(base, torch.float32).dual
    wanted = load_file(base / "transformer" / WEIGHTS)
    for net in (dual.restoration, dual.reference):
        state = net.state_dict()
        assert [name for name in wanted if not torch.equal(state[name], wanted[name])] == []
    one, other = dual.restoration.proj_out.weight, dual.reference.proj_out.weight
    assert one.data_ptr() != other.data_ptr()
    added = {n: t for n, t in dual.restoration.state_dict().items() if n not in wanted}
    assert len(added) == 3 and all(n.endswith(POINT_PROJ) for n in added)
    assert not any(tensor.any() for tensor in added.values())


def test_a_beginning_can_be_trained_saved_and_loaded(base, tmp_path):
    dual = new_parts(base, torch.float32).dual
    settings = dual.motion_encoder.config
    assert settings.channels == (512, 1024, 32, 32)
    assert (settings.embeddings, settings.blocks_per_embedding) == (2, 2)  # for three blocks
    assert dual.training and all(parameter.requires_grad for parameter in dual.parameters())
    with torch.no_grad():
        dual.restoration.proj_out.weight += 1  # memory of our own, not of the file
    save_sd3(tmp_path / "new", dual, prompt=tiny_parts().prompt)
    config = Sd3Config(weights=tmp_path / "new", base=base)
    loaded = load_sd3(config, torch.float32).dual
    assert loaded.motion_encoder.config == settings
    for name, tensor in dual.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], tensor), name


def test_only_the_projections_may_be_absent(base):
    path = base / "transformer" / WEIGHTS
    state = load_file(path)
    del state["proj_out.bias"]
    save_file(state, path, metadata={"format": "pt"})
    with pytest.raises(WeightsError, match=r"missing: proj_out\.bias;"):
        new_parts(base, torch.float32)
    shutil.rmtree(base / "transformer")
    with pytest.raises(WeightsError, match="no such folder"):
        new_parts(base, torch.float32)


# --- what is there, by the headers ----------------------------------------------------------------


def test_a_summary_says_what_there_is(tmp_path):
    found = check_sd3(Sd3Config(weights=write_tiny(tmp_path / "tiny", dtype=torch.float16)))
    json.dumps(found, allow_nan=False)
    branch = found["transformer"]
    count = sum(p.numel() for p in tiny_parts().dual.restoration.parameters())
    assert branch["million_parameters"] == round(count / 1e6, 3)
    assert (branch["blocks"], branch["width"], branch["dtype"]) == (3, 32, "float16")
    assert branch["bytes"] == (tmp_path / "tiny" / "transformer" / WEIGHTS).stat().st_size
    assert found["motion_encoder"]["channels"] == (4, 8, 32, 32)
    assert found["prompt"]["tokens"] == 7 and "Stability AI" in found["licence"]


def hollow(folder: Path, guided: bool) -> None:
    """A transformer of SD3-medium's size as a file of holes: a true header, no bytes on disk."""
    with torch.device("meta"):
        network = make_transformer(SD3_MEDIUM, guided=guided)
    shutil.rmtree(folder)
    network.save_config(folder)
    header, end = {}, 0
    for name, tensor in network.state_dict().items():
        begin, end = end, end + 2 * tensor.numel()
        header[name] = {"dtype": "F16", "shape": list(tensor.shape), "data_offsets": [begin, end]}
    header_bytes = json.dumps(header).encode()
    with open(folder / WEIGHTS, "wb") as file:
        file.write(struct.pack("<Q", len(header_bytes)) + header_bytes)
        file.truncate(8 + len(header_bytes) + end)


@pytest.mark.skipif(os.name == "nt", reason="files of holes take their whole size there")
def test_the_full_size_is_summed_up_without_reading_it(tmp_path):
    folder = write_tiny(tmp_path / "full")
    hollow(folder / "transformer", guided=True)
    hollow(folder / "transformer_ref", guided=False)
    state = {}
    for i, (before, after) in enumerate([(2, 4), (4, 4), (4, 4), (4, 1536)]):
        state[f"blocks.0.{2 * i}.weight"] = torch.zeros(after, before, 3, 3)
        state[f"blocks.0.{2 * i}.bias"] = torch.zeros(after)
    save_file(state, folder / "motion_encoder.safetensors")
    save_file(
        {"prompt_embeds": torch.ones(1, 333, 4096), "pooled_prompt_embeds": torch.ones(1, 2048)},
        folder / "empty_prompt.safetensors",
    )
    found = check_sd3(Sd3Config(weights=folder))
    assert found["transformer"]["million_parameters"] == pytest.approx(2084.951)
    assert found["transformer_ref"]["million_parameters"] == pytest.approx(2028.328)
    assert found["transformer"]["blocks"] == 24 and found["transformer"]["bytes"] > 4e9
