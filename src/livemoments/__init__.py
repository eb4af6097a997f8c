"""Pick a better moment of a Live Photo and get it at the key photo's quality.

    live = livemoments.open("IMG_1.HEIC")
    better = livemoments.restore(live, time_s=0.8)  # better.image is float32 RGB in [0, 1]

Names are loaded when first used, so that importing the package stays fast. Every error raised on
purpose is a livemoments.errors.LiveMomentsError.
"""

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING

from livemoments.errors import LiveMomentsError
from livemoments.version import __version__

if TYPE_CHECKING:  # read by type checkers and editors; at run time __getattr__ finds the same
    from livemoments.clip_faces import ClipFacesConfig, PolishedClip, polish_clip
    from livemoments.livephoto import Frame, LivePhoto
    from livemoments.livephoto import open_live_photo as open
    from livemoments.moments import Moment, best_moment, contact_sheet, score_moments
    from livemoments.pipeline import LiveMomentsPipeline
    from livemoments.restore import Report, RestoreConfig, RestoredMoment, restore, restore_frame

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
    "clip_faces": ("ClipFacesConfig", "PolishedClip", "polish_clip"),
    "livephoto": ("Frame", "LivePhoto"),
    "moments": ("Moment", "best_moment", "contact_sheet", "score_moments"),
    "pipeline": ("LiveMomentsPipeline",),
    "restore": ("Report", "RestoreConfig", "RestoredMoment", "restore", "restore_frame"),
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


class _Package(ModuleType):
    """Keeps livemoments.restore the function when the file restore.py is imported."""

    def __setattr__(self, name: str, value: object) -> None:
        if not (name == "restore" and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
