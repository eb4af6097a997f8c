"""Make a Live Photo from a free photograph, and restore a moment of it whose truth is known."""

from livemoments.jobs.demo.compare import before_after
from livemoments.jobs.demo.make import DemoLivePhoto, make_live_photo
from livemoments.jobs.demo.run import DemoResult, run_demo

__all__ = [
    "DemoLivePhoto",
    "DemoResult",
    "before_after",
    "make_live_photo",
    "run_demo",
]
