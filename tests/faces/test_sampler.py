"""Sampling a window: steps, noise by frame, guidance and blending at every step."""

import numpy as np
import pytest
from support.tiny.faces import FakeFaces

from livemoments import bridge
from livemoments.faces.blending import BlendConfig, Earlier
from livemoments.faces.guidance import Guidance, negatives
from livemoments.faces.sampler import PersonPrompt, WindowFace, frame_noise, sample_window
from livemoments.models.face_window import Streams

BLEND = BlendConfig(window=6, overlap=2)


def person(model, **scales) -> PersonPrompt:
    reference = np.full((1, 32, 32, 3), 0.8, np.float32)
    prompt = model.prompt(reference, np.ones(128), np.zeros(4))
    away_from = negatives(Guidance(**scales), prompt, Streams())
    return PersonPrompt(prompt=prompt, streams=Streams(), negatives=away_from)


def faces(model, who, window) -> list[WindowFace]:
    found = []
    for index in window:
        face = np.random.default_rng(index).random((32, 32, 3), np.float32)
        alone = model.align(face, None) if who.needs_unaligned else None
        found.append(
            WindowFace(index=index, aligned=model.align(face, who.prompt), unaligned=alone)
        )
    return found


def sampled(model, who, window=range(4), steps=3, seed=0, earlier=None, **given):
    return sample_window(
        model, faces(model, who, window), who, steps=steps, seed=seed,
        earlier=earlier or Earlier(BLEND), **given,
    )  # fmt: skip


def test_it_ends_at_the_last_prediction_and_asks_at_every_step():
    model = FakeFaces()
    who = person(model)
    found = sampled(model, who)
    assert found.shape == (4, 32, 32, 3) and found.dtype == np.float32
    assert [t for _, t, _ in model.asked] == list(bridge.uniform_times(3)[:-1])
    given = faces(model, who, range(4))
    truth = model.predict(np.zeros((4, 48, 8, 8)), [each.aligned for each in given], 0.1,
                          who.prompt, Streams())  # fmt: skip
    from livemoments.models.codec import decode

    np.testing.assert_allclose(found, decode(truth).transpose(0, 2, 3, 1), atol=1e-6)


def test_the_network_sees_the_bridges_points():
    """Of the first step the start, of the next the exact point on the path to what it predicted."""

    class Seeing(FakeFaces):
        seen = []

        def predict(self, z, faces, t, prompt, streams):
            self.seen.append(z)
            return super().predict(z, faces, t, prompt, streams)

    from livemoments.models.codec import encode

    model = Seeing()
    who = person(model)
    sampled(model, who, range(3, 5), steps=2, seed=7)
    z_frame = encode(
        np.concatenate([each.aligned.frame for each in faces(model, who, range(3, 5))])
    )
    noise = np.stack([frame_noise(7, index, (48, 8, 8)) for index in (3, 4)])
    np.testing.assert_allclose(model.seen[0], bridge.start(z_frame, noise), atol=1e-6)
    assert model.seen[1].dtype == np.float32
    distances = [np.abs(z - z_frame).mean() for z in model.seen]
    assert distances[0] > distances[1] > 0


def test_a_frame_has_its_noise_whatever_the_window():
    one, same, other = (frame_noise(0, index, (48, 2, 2)) for index in (5, 5, 6))
    np.testing.assert_array_equal(one, same)
    assert np.abs(one - other).mean() > 0.5
    assert np.abs(one - frame_noise(1, 5, (48, 2, 2))).mean() > 0.5


def test_guidance_runs_each_stream_and_goes_away_from_it():
    model = FakeFaces()
    plain = sampled(model, person(model), steps=1)
    model.asked.clear()
    strong = sampled(model, person(model, image=1.0, reference=0.5), steps=1)
    assert [streams.image for _, _, streams in model.asked] == [True, False, False]
    frames = np.stack([np.random.default_rng(i).random((32, 32, 3), np.float32) for i in range(4)])
    towards = np.abs(0.8 - strong.mean()) - np.abs(0.8 - plain.mean())
    assert towards < 0 < np.abs(strong - plain).max()
    assert np.abs(strong - frames).mean() > np.abs(plain - frames).mean()


def test_windows_are_blended_at_every_step():
    model = FakeFaces()
    who, together = person(model), Earlier(BLEND)
    first = sampled(model, who, range(6), earlier=together, next_start=4)
    joined = sampled(model, who, range(4, 10), earlier=together)
    alone = sampled(model, who, range(4, 10))
    # What the fake restores depends on the window, so windows differ where they meet.
    assert np.abs(alone[0] - first[4]).max() > 1e-4
    np.testing.assert_allclose(joined[0], first[4], atol=1e-6)
    assert 0 < np.abs(joined[1] - first[5]).max() < np.abs(alone[1] - first[5]).max()
    np.testing.assert_allclose(joined[2:], alone[2:], atol=1e-6)


def test_off_windows_are_independent():
    model = FakeFaces()
    who, off = person(model), Earlier(BlendConfig(window=6, overlap=0))
    sampled(model, who, range(6), earlier=off, next_start=6)
    one, other = (sampled(model, who, range(6, 9), earlier=each) for each in (off, None))
    np.testing.assert_array_equal(one, other)


def test_one_frame_will_do():
    model = FakeFaces()
    assert sampled(model, person(model), range(7, 8)).shape == (1, 32, 32, 3)


def test_every_run_is_reported_and_can_be_the_last():
    model, reports = FakeFaces(), []
    sampled(model, person(model, image=1.0), steps=2, after_run=lambda: reports.append(1))
    assert len(reports) == len(model.asked) == 4

    def stop():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sampled(model, person(model), after_run=stop)
    assert len(model.asked) == 5
