"""The sd3 networks against numbers of the official release, and their laws; needs diffusers."""

import json

import numpy as np
import pytest
from support import DATA

torch = pytest.importorskip("torch")
pytest.importorskip("diffusers")

from livemoments import bridge
from livemoments.errors import ConfigError
from livemoments.networks.motion_encoder import MotionEncoder, MotionEncoderConfig
from livemoments.networks.sd3 import SD3_MEDIUM, DualBranch, KeysAndValues, Prompt, make_transformer

CLOSE = 1e-4  # absolute, in float32


@pytest.fixture(scope="module")
def numbers():
    with np.load(DATA / "official_sd3.npz") as stored:
        return {name: torch.from_numpy(stored[name]) for name in stored if name != "config"}


@pytest.fixture(scope="module")
def config():
    with np.load(DATA / "official_sd3.npz") as stored:
        return json.loads(str(stored["config"]))


def weights(numbers, branch: str) -> dict:
    """A branch's weights by the published names; both share the table of positions."""
    shared = {"pos_embed.pos_embed": numbers["restoration.pos_embed.pos_embed"]}
    start = branch + "."
    return shared | {
        name.removeprefix(start): value for name, value in numbers.items() if name.startswith(start)
    }


@pytest.fixture(scope="module")
def dual(numbers, config) -> DualBranch:
    restoration = make_transformer(config, guided=True)
    reference = make_transformer(config, guided=False)
    restoration.load_state_dict(weights(numbers, "restoration"), strict=True)
    reference.load_state_dict(weights(numbers, "reference"), strict=True)
    torch.manual_seed(0)
    encoder = MotionEncoder(MotionEncoderConfig(channels=(4, 4, 8, 32), embeddings=2))
    return DualBranch(restoration, reference, encoder).eval().requires_grad_(False)


def velocity(dual, numbers, z, t: float, one: int):
    """At z (2, 16, h, w), for one of the two pictures; the release ran each with its own prompt."""
    pick = slice(one, one + 1)
    prompt = Prompt(numbers["prompt_embeds"][pick], numbers["pooled_prompt_embeds"][pick])
    at = torch.tensor([t])
    read = dual.read_reference(numbers["reference_latent"][pick], prompt, at)
    motion = [
        block.attn.processor.motion_key(numbers[f"motion_embedding.{i}"][pick])
        for i, block in enumerate(dual.restoration.transformer_blocks)
    ]
    return dual.velocity(z[pick], prompt, at, read, motion)


def both(dual, numbers, z, t: float):
    return torch.cat([velocity(dual, numbers, z, t, one) for one in (0, 1)])


@pytest.mark.parametrize("timestep", ["200.2", "49.3"])
def test_velocities_are_the_releases(dual, numbers, timestep):
    found = both(dual, numbers, numbers["latent"], float(timestep) / 1000)
    torch.testing.assert_close(found, numbers[f"velocity.t{timestep}"], atol=CLOSE, rtol=0)


@pytest.mark.parametrize("timestep", ["200.2", "49.3"])
def test_reference_outputs_are_the_releases(dual, numbers, timestep):
    found = dual.reference(
        numbers["reference_latent"],
        numbers["prompt_embeds"],
        numbers["pooled_prompt_embeds"],
        torch.full((2,), float(timestep)),
    ).sample
    torch.testing.assert_close(found, numbers[f"reference_output.t{timestep}"], atol=CLOSE, rtol=0)


def test_six_steps_are_the_releases(dual, numbers):
    z = numbers["sampling.start"]
    times = bridge.official_times()
    for step, (t, t_next) in enumerate(zip(times, times[1:], strict=False)):
        z = bridge.euler_step(z, both(dual, numbers, z, t), t, t_next)
        if step in (0, 5):
            torch.testing.assert_close(z, numbers[f"sampling.step{step}"], atol=CLOSE, rtol=0)


def test_without_motion_and_reference_it_is_sd3(config, numbers):
    """RestorationNet's own forward, given nothing to look at, is that of diffusers' SD3."""
    guided, plain = make_transformer(config, guided=True), make_transformer(config, guided=False)
    state = weights(numbers, "restoration")
    guided.load_state_dict(state)
    plain.load_state_dict({k: v for k, v in state.items() if "point_proj" not in k})
    given = (
        numbers["latent"],
        numbers["prompt_embeds"],
        numbers["pooled_prompt_embeds"],
        torch.full((2,), 100.0),
    )
    with torch.no_grad():
        torch.testing.assert_close(guided(*given).sample, plain(*given).sample, atol=1e-5, rtol=0)


def test_a_new_restoration_net_knows_no_motion(config):
    """Zero-initialised: before training, the reference's keys are not moved."""
    net = make_transformer(config, guided=True)
    embedding = torch.randn(2, 5, net.inner_dim)
    for block in net.transformer_blocks:
        assert not block.attn.processor.motion_key(embedding).any()


def test_motion_moves_the_images_keys_alone():
    own = KeysAndValues(torch.zeros(1, 7, 4), torch.ones(1, 7, 4))
    moved = own.moved_by(torch.ones(1, 5, 4))
    assert moved.key[:, :5].eq(1).all() and not moved.key[:, 5:].any()
    assert moved.value is own.value


@pytest.mark.parametrize("size", [(2, 2), (4, 10), (12, 16)])
def test_any_even_size_and_batch(dual, numbers, size):
    z, key = torch.randn(2, 3, 16, *size)
    prompt = Prompt(numbers["prompt_embeds"][:1], numbers["pooled_prompt_embeds"][:1])
    flow = torch.randn(3, 2, 8 * size[0], 8 * size[1])
    t = torch.tensor([0.2, 0.1, 0.003])
    found = dual(z, key, flow, prompt, t)
    assert found.shape == z.shape
    alone = dual(z[1:2], key[1:2], flow[1:2], prompt, t[1:2])
    torch.testing.assert_close(found[1:2], alone, atol=1e-4, rtol=1e-4)


def test_blocks_that_visit_give_the_same(dual, numbers):
    """Offloading changes where weights are, never what comes out."""
    z, key = torch.randn(2, 1, 16, 8, 8)
    prompt = Prompt(numbers["prompt_embeds"][:1], numbers["pooled_prompt_embeds"][:1])
    given = (z, key, torch.randn(1, 2, 64, 64), prompt, torch.tensor([0.1]))
    expected = dual(*given)
    dual.visits = torch.device("cpu")
    try:
        torch.testing.assert_close(dual(*given), expected, atol=0, rtol=0)
    finally:
        dual.visits = None


def test_checkpointing_gives_the_same_gradients(config, numbers):
    found = []
    for checkpointing in (False, True):
        torch.manual_seed(3)
        dual = DualBranch(
            make_transformer(config, guided=True),
            make_transformer(config, guided=False),
            MotionEncoder(MotionEncoderConfig(channels=(4, 4, 8, 32), embeddings=2)),
        )
        for block in dual.restoration.transformer_blocks:
            torch.nn.init.normal_(block.attn.processor.point_proj.weight)
        dual.checkpointing = checkpointing
        z, key = torch.randn(2, 1, 16, 4, 4)
        prompt = Prompt(numbers["prompt_embeds"][:1], numbers["pooled_prompt_embeds"][:1])
        dual(
            z, key, torch.randn(1, 2, 32, 32), prompt, torch.tensor([0.1])
        ).square().sum().backward()
        found.append({name: p.grad for name, p in dual.named_parameters()})
    assert found[0].keys() == found[1].keys()
    for name, gradient in found[0].items():
        if gradient is not None:
            torch.testing.assert_close(gradient, found[1][name], atol=1e-6, rtol=1e-5)


def test_what_is_trained_gets_gradients_and_the_rest_is_text_or_idle(config, numbers):
    dual = DualBranch(
        make_transformer(config, guided=True),
        make_transformer(config, guided=False),
        MotionEncoder(MotionEncoderConfig(channels=(4, 4, 8, 32), embeddings=2)),
    )
    for block in dual.restoration.transformer_blocks:
        torch.nn.init.normal_(block.attn.processor.point_proj.weight)
    trained = dict(dual.trained())
    for name, parameter in dual.named_parameters():
        parameter.requires_grad_(name in trained)
    z, key = torch.randn(2, 1, 16, 4, 4)
    prompt = Prompt(numbers["prompt_embeds"][:1], numbers["pooled_prompt_embeds"][:1])
    dual(z, key, torch.randn(1, 2, 32, 32), prompt, torch.tensor([0.1])).square().sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in trained.values())
    frozen = {name for name, _ in dual.named_parameters()} - set(trained)
    assert "restoration.context_embedder.weight" in frozen
    assert "reference.transformer_blocks.0.attn.add_k_proj.weight" in frozen
    assert "reference.transformer_blocks.2.attn.to_k.weight" in trained
    assert "restoration.transformer_blocks.0.attn.processor.point_proj.weight" in trained
    assert not any("pos_embed.proj" in name for name in frozen)


@pytest.mark.parametrize("extra", [{"qk_norm": "rms_norm"}, {"dual_attention_layers": (0,)}])
def test_another_sd3_is_refused(config, extra):
    with pytest.raises(ConfigError, match="SD3.5"):
        make_transformer(config | extra, guided=False)


def test_parameters_are_the_papers():
    """Table 4, in millions; no memory is taken."""
    with torch.device("meta"):
        sizes = [
            sum(p.numel() for p in part.parameters())
            for part in (
                make_transformer(SD3_MEDIUM, guided=False),
                make_transformer(SD3_MEDIUM, guided=True),
                MotionEncoder(),
            )
        ]
    assert [round(size / 1e6, 2) for size in sizes] == [2028.33, 2084.95, 66.09]
