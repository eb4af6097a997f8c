"""What all tests share: the --slow switch, the real samples, and fixed seeds."""

import os
import random

import numpy as np
import pytest
import support
from support import makers


def pytest_configure(config):
    support.SLOW = config.getoption("--slow")
    # Several processes run tests side by side: each has a core of its own, as otherwise the threads
    # of PyTorch, ONNX Runtime, OpenCV and FFmpeg in all of them wait for each other.
    worker = os.environ.get("PYTEST_XDIST_WORKER")
    if worker and hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {cores[int(worker.removeprefix("gw")) % len(cores)]})


def pytest_addoption(parser):
    parser.addoption("--slow", action="store_true", help="run the slow tests too")


def pytest_collection_modifyitems(config, items):
    on_gpu = [item for item in items if "gpu" in item.keywords]
    if on_gpu and not cuda_available():
        for item in on_gpu:
            item.add_marker(pytest.mark.skip(reason="needs a GPU that PyTorch can use"))
    if config.getoption("--slow"):
        return
    skip = pytest.mark.skip(reason="slow; run with --slow")
    for item in items:
        if "slow" in item.keywords:
            item.add_marker(skip)


def cuda_available() -> bool:
    try:
        import torch
    except ImportError:
        return False
    return torch.cuda.is_available()


@pytest.fixture(autouse=True)
def fixed_seeds():
    """No test depends on what ran before it."""
    random.seed(0)
    np.random.seed(0)  # for libraries that draw from the global generator


@pytest.fixture(scope="session")
def samples():
    """The folder with files of real phones; they are not part of the project."""
    folder = makers.samples_folder()
    if folder is None:
        pytest.skip("no sample files of real phones; set LIVEMOMENTS_SAMPLES to their folder")
    return folder


@pytest.fixture
def one_thread():
    """PyTorch on one thread: the same sums everywhere, and no waiting for other tests."""
    import cv2
    import torch

    before = torch.get_num_threads(), cv2.getNumThreads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before[0])
    cv2.setNumThreads(before[1])  # streams of crops set it
