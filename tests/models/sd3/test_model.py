"""The sd3 tier at run time, with tiny random weights on the CPU: structure, not quality."""

from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("diffusers")

from support.tiny.sd3 import tiny_parts, write_tiny

import livemoments
from livemoments import bridge
from livemoments.align.flow import pixel_grid
from livemoments.errors import ConfigError, DeviceError, InputError
from livemoments.models.sd3 import memory as sd3_memory
from livemoments.models.sd3.config import Sd3Config
from livemoments.models.sd3.model import Latents, Sd3Model, load_sd3_model
from livemoments.models.tile import TileConfig, TileInput
from livemoments.restoration.config import RestoreConfig

ON_CPU = Sd3Config(device="cpu", precision="float32")


@pytest.fixture
def model() -> Sd3Model:
    return Sd3Model(tiny_parts(0), ON_CPU)


def tile_of(height: int, width: int, *, shift=(5, 3), reference: bool = True) -> TileInput:
    rng = np.random.default_rng(7)
    frame = rng.random((height, width, 3), np.float32)
    if not reference:
        return TileInput(frame=frame, reference=None, positions=None, confidence=None)
    return TileInput(
        frame=frame,
        reference=rng.random((height + 20, width + 20, 3), np.float32),
        positions=pixel_grid(height, width) + np.array(shift, np.float32) + 10,
        confidence=np.full((height, width), 0.75, np.float32),
        corner=(10, 10),
        enlarged=2.0,
    )


def run(model: Sd3Model, tile: TileInput, steps: int = 6, seed: int = 0):
    return model.restore_tiles([tile], steps, [np.random.default_rng(seed)])[0]


def flow_of(model: Sd3Model, tile: TileInput) -> np.ndarray:
    """The flow key photo -> frame that the networks are given, H x W x 2."""
    return model.latents(tile, np.random.default_rng(0)).flow[0].permute(1, 2, 0).numpy()


@pytest.mark.parametrize(
    ("size", "reference"), [((64, 64), True), ((16, 33), False), ((70, 101), True)]
)
def test_a_tile_of_any_size_comes_back(model, size, reference):
    result = run(model, tile_of(*size, reference=reference), steps=2)
    assert result.image.shape == (*size, 3) and result.image.dtype == np.float32
    assert np.isfinite(result.image).all()
    assert (result.used == (0.75 if reference else 0)).all()


def test_the_same_seed_gives_the_same_bytes(model):
    tile = tile_of(32, 48)
    np.testing.assert_array_equal(run(model, tile).image, run(model, tile).image)
    assert (run(model, tile).image != run(model, tile, seed=1).image).any()


@pytest.mark.parametrize("official", [False, True])
def test_tiles_together_are_as_tiles_alone(official):
    model = Sd3Model(tiny_parts(0), replace(ON_CPU, official=official, batch=3))
    tiles = [tile_of(32, 32, shift=(i, -i)) for i in range(3)]
    seeds = [np.random.default_rng(i) for i in range(3)]
    together = model.restore_tiles(tiles, 2, seeds)
    for i, (tile, result) in enumerate(zip(tiles, together, strict=True)):
        np.testing.assert_allclose(result.image, run(model, tile, 2, i).image, atol=1e-4)


def test_reference_and_motion_change_the_result(model):
    for block in model.dual.restoration.transformer_blocks:
        torch.nn.init.normal_(block.attn.processor.point_proj.weight)
    tile = tile_of(48, 48)
    expected = run(model, tile).image
    moved = replace(tile, positions=tile.positions + np.array([9, 0], np.float32))
    assert np.abs(run(model, moved).image - expected).max() > 1e-5
    other = replace(tile, reference=tile.reference[::-1])
    assert np.abs(run(model, other).image - expected).max() > 1e-4


def test_the_crop_that_is_read_is_pcrs(model):
    """Outside of the corner's n x m pixels, the reference plays no part."""
    tile = tile_of(48, 48)
    painted = tile.reference.copy()
    painted[:10], painted[:, :10], painted[58:], painted[:, 58:] = 0, 0, 0, 0
    same = run(model, replace(tile, reference=painted)).image
    np.testing.assert_array_equal(same, run(model, tile).image)


def test_the_flow_runs_from_key_to_frame(model):
    """A pixel of the key photo at q shows what the frame shows at q - shift: so the flow says."""
    flow = flow_of(model, tile_of(64, 64, shift=(5, 3)))
    np.testing.assert_allclose(flow[8:-8, 8:-8], np.broadcast_to([-5, -3], (48, 48, 2)), atol=1e-3)


@pytest.mark.parametrize("settings", [{"flow": "dis"}, {"official": True}])
def test_a_tiles_own_flow_runs_the_same_way(settings):
    model = Sd3Model(tiny_parts(0), replace(ON_CPU, **settings))
    rng = np.random.default_rng(1)
    scene = np.kron(rng.random((40, 40, 3), np.float32), np.ones((8, 8, 1), np.float32))
    tile = TileInput(
        frame=scene[20:276, 20:276],
        reference=scene[17:273, 15:271],
        positions=pixel_grid(256, 256),  # not looked at
        confidence=np.ones((256, 256), np.float32),
    )
    flow = flow_of(model, tile)
    np.testing.assert_allclose(np.median(flow, (0, 1)), [-5, -3], atol=0.3)


def test_without_a_reference_the_frame_is_its_own(model):
    tile = tile_of(32, 32, reference=False)
    own = TileInput(
        frame=tile.frame,
        reference=tile.frame,
        positions=pixel_grid(32, 32),
        confidence=np.ones((32, 32), np.float32),
    )
    np.testing.assert_allclose(run(model, tile).image, run(model, own).image, atol=1e-5)


class Knowing(torch.nn.Module):
    """In the networks' place: the true velocity of one known path."""

    def __init__(self, truth, frame) -> None:
        super().__init__()
        self.truth, self.frame = truth, frame

    def motion_keys(self, flow):
        return []

    def read_reference(self, z_key, prompt, t):
        return []

    def velocity(self, z, prompt, t, read, motion):
        return bridge.velocity_from_truth(z, self.truth, self.frame, float(t[0]))


def test_true_velocities_lead_to_the_truth(model):
    """Exact steps arrive whatever their number; Euler's are off by their curvature."""
    z_frame, truth, noise = torch.randn(3, 1, 16, 4, 4, generator=torch.Generator().manual_seed(2))
    truth = z_frame + 0.1 * truth
    model.dual = Knowing(truth, z_frame)
    errors = {}
    given = Latents(frame=z_frame, key=z_frame, flow=torch.zeros(1, 2, 32, 32), noise=noise)
    for sampler in ("exact", "euler"):
        walker = model.with_config(replace(ON_CPU, sampler=sampler))
        for steps in (1, 2, 6):
            found = walker._sample(given, steps)
            errors[sampler, steps] = float((found - truth).abs().max())
    assert max(errors["exact", steps] for steps in (1, 2, 6)) < 1e-4
    assert errors["euler", 1] > 0.02  # in one step; later ones mend it, which know the truth


def test_official_latents_are_sampled(model):
    tile = tile_of(32, 32)
    mean = model.latents(tile, np.random.default_rng(0))
    official = model.with_config(replace(ON_CPU, official=True))
    draws = [official.latents(tile, np.random.default_rng(seed)) for seed in (0, 1)]
    assert (draws[0].frame != draws[1].frame).any() and (draws[0].key != draws[1].key).any()
    assert (draws[0].frame != mean.frame).any()


def test_reference_once_per_tile_reads_once(model, monkeypatch):
    calls = []
    read = model.dual.read_reference
    monkeypatch.setattr(model.dual, "read_reference", lambda *a: calls.append(1) or read(*a))
    run(model, tile_of(32, 32))
    assert len(calls) == 6
    run(model.with_config(replace(ON_CPU, reference_per="tile")), tile_of(32, 32))
    assert len(calls) == 7


def test_another_config_shares_the_networks(model):
    other = model.with_config(replace(ON_CPU, batch=3, flow="dis"))
    assert other.dual is model.dual and other.vae is model.vae
    assert (model.batch, other.batch) == (1, 3) and model.config == ON_CPU
    with pytest.raises(ConfigError, match="device, precision of a loaded model"):
        model.with_config(replace(ON_CPU, device="auto", precision="bf16"))


def test_bfloat16_is_near():
    tile = tile_of(32, 32)
    exact = run(Sd3Model(tiny_parts(0), ON_CPU), tile).image
    rough = run(
        Sd3Model(tiny_parts(0, torch.bfloat16), replace(ON_CPU, precision="bf16")), tile
    ).image
    assert np.abs(rough - exact).mean() < 0.05


def test_a_real_pipeline_from_a_folder(tmp_path):
    """Frame and key photo in, several tiles, a picture of the key photo's size out."""
    write_tiny(tmp_path / "weights")
    rng = np.random.default_rng(3)
    key = np.kron(rng.random((12, 16, 3), np.float32), np.ones((10, 10, 1), np.float32))
    frame = key[::2, ::2]
    config = RestoreConfig(
        model="sd3",
        steps=2,
        tiles=TileConfig(size=64, overlap=16),
        sd3=replace(ON_CPU, weights=tmp_path / "weights", batch=4),
    )
    found = livemoments.restore_frame(frame, key, config=config)
    assert found.image.shape == key.shape and found.report.model == "sd3"
    assert found.report.steps == 2
    again = livemoments.restore_frame(frame, key, config=config)
    np.testing.assert_array_equal(found.image, again.image)
    assert load_sd3_model(config.sd3) is load_sd3_model(config.sd3)


def test_the_pipeline_of_five_lines(tmp_path):
    write_tiny(tmp_path / "weights")
    pipe = livemoments.LiveMomentsPipeline.from_pretrained(
        tmp_path / "weights", device="cpu", precision="float32"
    )
    rng = np.random.default_rng(3)
    key = rng.random((64, 64, 3), np.float32)
    found = pipe(key[::2, ::2], key, steps=1)
    copy = pipe.save_pretrained(tmp_path / "copy")
    other = livemoments.LiveMomentsPipeline.from_pretrained(copy, device="cpu", precision="float32")
    np.testing.assert_array_equal(other(key[::2, ::2], key, steps=1).image, found.image)
    with pytest.raises(InputError, match="key photo"):
        pipe(key)


def test_too_little_memory_is_an_error_before_anything_runs(monkeypatch):
    monkeypatch.setattr(sd3_memory, "free_gb", lambda device: 0.001)
    with pytest.raises(
        DeviceError, match=r"needs about .* GB .* one tile at a time .* the model compact"
    ):
        Sd3Model(tiny_parts(0), replace(ON_CPU, batch=2))


def test_the_estimate_grows_with_what_takes_memory():
    parts = tiny_parts(0)

    def estimate(**settings) -> float:
        offload = settings.pop("offload", False)
        tile_px = settings.pop("tile_px", 1024)
        config = replace(ON_CPU, **settings)
        return sd3_memory.estimate_gb(parts, config, torch.float32, tile_px, offload=offload)

    assert estimate(batch=2) > estimate() > estimate(tile_px=512)
    assert estimate(offload=True) < estimate()


def test_running_out_of_memory_is_one_clear_error(model, monkeypatch):
    def fail(*_):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(model.dual, "read_reference", fail)
    with pytest.raises(DeviceError, match="out of memory"):
        run(model, tile_of(32, 32))


@pytest.mark.parametrize("device", ["cuda", "mps"])
def test_a_device_that_is_not_there_is_named(device):
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if there[device]:
        pytest.skip(f"there is {device} here")
    with pytest.raises(DeviceError, match=f"device {device}.*there is cpu"):
        sd3_memory.resolve_device(Sd3Config(device=device))


@pytest.mark.parametrize(
    "settings",
    [
        {"device": "tpu"}, {"precision": "fp8"}, {"flow": "spynet"}, {"batch": 0},
        {"reference_per": "picture"}, {"offload": "some"}, {"sampler": "heun"},
    ],
)  # fmt: skip
def test_settings_outside_their_range_are_refused(settings):
    with pytest.raises(ConfigError, match=next(iter(settings))):
        Sd3Config(**settings)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of PyTorch's own parts
def test_compiled_blocks_give_the_same(model):
    tile = tile_of(32, 32)
    expected = run(model, tile, steps=2).image
    try:
        model.compile()
        found = run(model, tile, steps=2).image
    except Exception as error:  # no C++ compiler here
        pytest.skip(f"torch.compile does not work here: {str(error).splitlines()[0]}")
    np.testing.assert_allclose(found, expected, atol=1e-3)


def test_a_small_table_of_positions_makes_small_tiles(model):
    assert model.tiles.size == 24 * 16 and Sd3Model.tiles.size == 1024
    with pytest.raises(ConfigError, match="400 x 32 pixels are too large.*384"):
        run(model, tile_of(32, 400))
