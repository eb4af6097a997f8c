"""One Live Photo from file to file: what restore_file writes and reports."""

import numpy as np
from support import makers

from livemoments.jobs.restore import restore_file
from livemoments.livephoto import open_live_photo
from livemoments.livephoto.writing.output import OutputChoice
from livemoments.models.tile import TileConfig, TileResult
from livemoments.moments.choice import MomentChoice


class GreyModel:
    """A model that makes every tile grey, and counts them."""

    name, tiles, steps, batch, estimator = "grey", TileConfig(), 1, 1, None
    count = 0

    def restore_tiles(self, tiles, steps, rngs):
        self.count += len(tiles)
        size = tiles[0].frame.shape
        picture, used = np.full(size, 0.5, np.float32), np.zeros(size[:2], np.float32)
        return [TileResult(image=picture, used=used) for _ in tiles]


def test_a_loaded_model_is_used(tmp_path):
    still, _ = makers.apple_pair(tmp_path / "in")
    model = GreyModel()
    choice = OutputChoice(path=tmp_path / "a.jpg", live=True, format="google")
    done = restore_file(still, MomentChoice(at_s=0.1), choice, model=model)
    assert model.count > 0 and done.report.model == "grey"
    assert (done.written.path, done.written.format) == (tmp_path / "a.jpg", "google")
    assert done.to_dict()["kind"] == "google" and done.to_dict()["movie"] is None
    assert "a Motion Photo with its clip (google)" in done.lines()[0]
    new = open_live_photo(done.written.path)
    assert abs(new.key_time_s - done.time_s) < 1e-3
