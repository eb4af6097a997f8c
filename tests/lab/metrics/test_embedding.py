"""CLIP-Q and DINO-Q: their laws, on small networks of random weights."""

import cv2
import numpy as np
import pytest
from support.pictures import noise_picture, scene

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
transformers = pytest.importorskip("transformers", reason="transformers is not installed")

from livemoments.errors import InputError, MissingFileError, WeightsError
from livemoments.lab.metrics.embedding import ImageEmbedding, similarity

SMALL = {
    "hidden_size": 24, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2,
    "patch_size": 8, "image_size": 32,
}  # fmt: skip


def network(name: str):
    """A network of this family, larger at random than the library begins with."""
    torch.manual_seed(0)
    if name == "clip":
        made = transformers.CLIPVisionModelWithProjection(
            transformers.CLIPVisionConfig(**SMALL, projection_dim=12)
        )
    elif name == "vit":
        made = transformers.ViTModel(transformers.ViTConfig(**SMALL), add_pooling_layer=False)
    else:
        config = {key: value for key, value in SMALL.items() if key != "intermediate_size"}
        made = transformers.Dinov2Model(transformers.Dinov2Config(**config))
    with torch.no_grad():
        for parameter in made.parameters():
            if parameter.dim() > 1:
                parameter.normal_(0, 0.12)
    return made


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("networks")
    for name in ("clip", "vit", "dinov2"):
        network(name).save_pretrained(root / name)
    return root


@pytest.fixture(params=["clip", "vit", "dinov2"])
def embedding(folders, request):
    kind = "CLIP" if request.param == "clip" else "DINO"
    return ImageEmbedding(kind, str(folders / request.param))


def shuffled(picture: np.ndarray, patch_px: int) -> np.ndarray:
    """The same patches in other places."""
    height, width = (side // patch_px for side in picture.shape[:2])
    grid = picture.reshape(height, patch_px, width, patch_px, 3).swapaxes(1, 2)
    cut = grid.reshape(-1, patch_px, patch_px, 3)
    cut = cut[np.random.default_rng(0).permutation(len(cut))].reshape(grid.shape)
    return np.ascontiguousarray(cut.swapaxes(1, 2).reshape(picture.shape))


def test_alike_is_one_and_the_two_may_change_places(embedding):
    measure = similarity(embedding)
    one, other = scene(48, 64, seed=1), scene(48, 64, seed=2)
    assert measure(one, one) == pytest.approx(1, abs=1e-5)
    assert measure(one, other) == pytest.approx(measure(other, one), abs=1e-6)
    assert measure(one, other) < 0.999


def test_it_falls_with_blur_and_with_noise(embedding):
    measure, clean = similarity(embedding), scene(64, 64, seed=1)
    blurred = [measure(cv2.GaussianBlur(clean, (0, 0), px), clean) for px in (0.7, 2, 6)]
    assert 1 > blurred[0] > blurred[1] > blurred[2]
    noise = noise_picture(64, 64) - np.float32(0.5)
    noisy = [measure(np.clip(clean + share * noise, 0, 1), clean) for share in (0.1, 0.4, 1.2)]
    assert 1 > noisy[0] > noisy[1] > noisy[2]


def test_positions_are_gone(embedding, folders):
    """Where a patch lies does not matter; to the same network with positions it does."""
    picture = scene(32, 32, seed=1)
    moved = shuffled(picture, 8)
    np.testing.assert_allclose(embedding(moved), embedding(picture), atol=1e-5)
    if embedding.kind == "CLIP":
        whole = network("clip").eval()
        with torch.inference_mode():
            found = [
                whole(torch.from_numpy(each.transpose(2, 0, 1)[None].copy())).image_embeds
                for each in (picture, moved)
            ]
        assert not torch.allclose(found[0], found[1], atol=1e-3)


def test_clip_without_positions_by_its_own_parts(folders):
    picture = scene(40, 56, seed=1)
    whole = network("clip").eval()
    parts = getattr(whole.vision_model, "vision_model", whole.vision_model)
    mean = torch.tensor([0.48145466, 0.4578275, 0.40821073]).view(3, 1, 1)
    deviation = torch.tensor([0.26862954, 0.26130258, 0.27577711]).view(3, 1, 1)
    with torch.inference_mode():
        image = (torch.from_numpy(picture.transpose(2, 0, 1).copy()) - mean) / deviation
        patches = parts.embeddings.patch_embedding(image[None]).flatten(2).transpose(1, 2)
        tokens = torch.cat([parts.embeddings.class_embedding.view(1, 1, -1), patches], dim=1)
        seen = parts.encoder(inputs_embeds=parts.pre_layrnorm(tokens)).last_hidden_state
        vector = whole.visual_projection(parts.post_layernorm(seen[:, 0]))[0]
    found = ImageEmbedding("CLIP", str(folders / "clip"))(picture)
    np.testing.assert_allclose(found, (vector / vector.norm()).numpy(), atol=1e-5)


@pytest.mark.parametrize("shape", [(8, 8), (47, 33), (100, 24)])
def test_any_size_from_a_patch_on_cut_to_whole_ones(embedding, shape):
    picture = noise_picture(*shape)
    y, x = ((side % 8) // 2 for side in shape)
    inner = picture[y : y + shape[0] // 8 * 8, x : x + shape[1] // 8 * 8]
    found = embedding(picture)
    assert np.linalg.norm(found) == pytest.approx(1, abs=1e-5)
    np.testing.assert_allclose(found, embedding(inner), atol=1e-6)


def test_less_than_a_patch_is_refused(embedding):
    with pytest.raises(InputError, match=r"-Q needs sides of at least 8 pixels, got 40 x 7"):
        embedding(noise_picture(7, 40))


def test_the_whole_clip_will_do(tmp_path, capfd):
    """As openai publishes it: with the half that reads text."""
    text = {**SMALL, "vocab_size": 20, "max_position_embeddings": 8}
    text |= {"bos_token_id": 0, "eos_token_id": 1}
    both = transformers.CLIPModel(
        transformers.CLIPConfig(
            text_config=text, vision_config={**SMALL, "projection_dim": 12}, projection_dim=12
        )
    )
    both.save_pretrained(tmp_path / "clip")
    capfd.readouterr()
    assert ImageEmbedding("CLIP", str(tmp_path / "clip"))(scene(40, 40)).shape == (12,)
    assert capfd.readouterr().err == ""  # no report that text is not read


def test_weights_that_are_not_there_are_told(monkeypatch, tmp_path):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(MissingFileError, match=r"CLIP-Q needs nobody/nothing, which is no folder "):
        ImageEmbedding("CLIP", "nobody/nothing")
    with pytest.raises(MissingFileError, match=r"hf download nobody/nothing, or name a folder"):
        ImageEmbedding("DINO", "nobody/nothing")


def test_another_network_is_named(folders, tmp_path):
    with pytest.raises(WeightsError, match=r"vit: a network of the kind vit, expected clip"):
        ImageEmbedding("CLIP", str(folders / "vit"))
    with pytest.raises(WeightsError, match="clip_vision_model, expected vit or dinov2"):
        ImageEmbedding("DINO", str(folders / "clip"))
    with pytest.raises(WeightsError, match="no network that transformers reads"):
        ImageEmbedding("DINO", str(tmp_path))


def test_damaged_weights_are_named(folders, tmp_path):
    network("vit").save_pretrained(tmp_path / "vit")
    (tmp_path / "vit" / "model.safetensors").write_bytes(b"not weights")
    with pytest.raises(WeightsError, match="vit: no network that transformers reads: "):
        ImageEmbedding("DINO", str(tmp_path / "vit"))


def test_weights_that_lack_some_are_named(folders, tmp_path):
    from safetensors.torch import load_file, save_file

    network("vit").save_pretrained(tmp_path / "vit")
    path = tmp_path / "vit" / "model.safetensors"
    kept = load_file(path)
    kept.pop(next(name for name in kept if "layernorm_before" in name))
    save_file(kept, path, metadata={"format": "pt"})
    with pytest.raises(WeightsError, match="1 weights of DINO are not there, .*layernorm_before"):
        ImageEmbedding("DINO", str(tmp_path / "vit"))
