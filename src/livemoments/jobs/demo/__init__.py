"""A Live Photo made from one free photograph, with the truth of one moment known."""

from livemoments.jobs.demo.compare import before_after
from livemoments.jobs.demo.make import DemoLivePhoto, make_live_photo
from livemoments.jobs.demo.run import DemoResult, run_demo

__all__ = ["DemoLivePhoto", "DemoResult", "before_after", "make_live_photo", "run_demo"]
