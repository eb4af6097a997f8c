"""Check, before an optional part is used, that the packages it needs are installed."""

import importlib.util

from livemoments.errors import MissingExtraError


def need_torch(job: str) -> None:
    """Raise MissingExtraError where PyTorch or accelerate is not installed; job says what for."""
    _need(job, "train", {"torch": "PyTorch", "accelerate": "accelerate"})


def need_sd3(job: str, *more: str) -> None:
    """Raise MissingExtraError where a package of the sd3 tier, or one more, is not installed."""
    packages = {name: name for name in ("diffusers", "safetensors", *more)}
    _need(job, "sd3", {"torch": "PyTorch", **packages})


def need_faces(job: str, packages: dict[str, str]) -> None:
    """Raise MissingExtraError where one of these packages of the extra is not installed."""
    _need(job, "faces", packages)


def _need(job: str, extra: str, packages: dict[str, str]) -> None:
    for name, package in packages.items():
        if importlib.util.find_spec(name) is None:
            raise MissingExtraError(
                f"{job} needs {package}, which is not installed; pip install 'livemoments[{extra}]'"
            )
