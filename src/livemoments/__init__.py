"""Pick a better moment of a Live Photo and get it at the key photo's quality.

    live = livemoments.open("IMG_1.HEIC")
    better = livemoments.restore(live, time_s=0.8)  # better.image is float32 RGB in [0, 1]

Names are loaded when first used, so that importing the package stays fast. Every error raised on
purpose is a livemoments.errors.LiveMomentsError.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from livemoments.errors import LiveMomentsError
from livemoments.version import __version__

if TYPE_CHECKING:  # read by type checkers and editors; at run time __getattr__ finds the same
    from livemoments.jobs.polish import ClipFacesConfig, PolishedClip, polish_clip
    from livemoments.livephoto import Frame, LivePhoto
    from livemoments.livephoto import open_live_photo as open
    from livemoments.moments.scores import Moment, best_moment, score_moments
    from livemoments.moments.sheet import contact_sheet
    from livemoments.restoration.config import RestoreConfig
    from livemoments.restoration.moment import RestoredMoment, restore, restore_frame
    from livemoments.restoration.pipeline import LiveMomentsPipeline
    from livemoments.restoration.report import Report

__all__ = [
    "ClipFacesConfig",
    "Frame",
    "LiveMomentsError",
    "LiveMomentsPipeline",
    "LivePhoto",
    "Moment",
    "PolishedClip",
    "Report",
    "RestoreConfig",
    "RestoredMoment",
    "__version__",
    "best_moment",
    "contact_sheet",
    "open",
    "polish_clip",
    "restore",
    "restore_frame",
    "score_moments",
]
_HOMES = {
    "jobs.polish": ("ClipFacesConfig", "PolishedClip", "polish_clip"),
    "livephoto": ("Frame", "LivePhoto"),
    "moments.scores": ("Moment", "best_moment", "score_moments"),
    "moments.sheet": ("contact_sheet",),
    "restoration.config": ("RestoreConfig",),
    "restoration.moment": ("RestoredMoment", "restore", "restore_frame"),
    "restoration.pipeline": ("LiveMomentsPipeline",),
    "restoration.report": ("Report",),
}


def __getattr__(name: str) -> object:
    """Import the module that a public name lives in, when the name is first asked for."""
    if name == "open":
        return import_module("livemoments.livephoto").open_live_photo
    for home, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f"livemoments.{home}"), name)
    raise AttributeError(f"module 'livemoments' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
