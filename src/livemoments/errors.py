"""Every error livemoments raises on purpose, in one tree.

LiveMomentsError
├── InputError            a file or an array we were given cannot be used
│   ├── MissingFileError      it is not there, or cannot be opened
│   ├── DamagedFileError      it is of a known kind, but truncated or broken
│   ├── UnsupportedFileError  it is whole, but of a kind we do not read
│   └── PairingError          a still without its clip, or two halves of different Live Photos
├── MomentError           no such time or frame in the clip
├── ConfigError           a setting outside its range
├── OutputError           the result cannot be written where it was asked for
├── DeviceError           a device that is not there, or whose memory does not suffice
├── WeightsError          model weights missing, damaged or of another model
└── MissingExtraError     an optional dependency is not installed

A message names the thing, what was found, and what to do. The command line prints it as one line
and exits with code 1.
"""

from collections.abc import Iterable


class LiveMomentsError(Exception):
    """Base of the tree: catch this to catch everything livemoments raises on purpose.

    `settings` names the arguments that would mend it, by their names in Python, so that a command
    line or an app can point to what it calls them.
    """

    def __init__(self, message: str = "", *, settings: Iterable[str] = ()) -> None:
        """Take the message, and the names of the arguments that it speaks of."""
        super().__init__(message)
        self.settings = tuple(settings)


class InputError(LiveMomentsError):
    """A file or an array we were given cannot be used."""


class MissingFileError(InputError):
    """An input file is not there, or cannot be opened."""


class DamagedFileError(InputError):
    """An input file is of a known kind, but truncated or broken."""


class UnsupportedFileError(InputError):
    """An input file is whole, but of a kind livemoments does not read."""


class PairingError(InputError):
    """A still without its clip, or two halves of different Live Photos."""


class MomentError(LiveMomentsError):
    """No such time or frame in the clip."""


class ConfigError(LiveMomentsError):
    """A setting is outside its range."""


class OutputError(LiveMomentsError):
    """The result cannot be written where it was asked for."""


class DeviceError(LiveMomentsError):
    """A device is not there, or its memory does not suffice."""


class WeightsError(LiveMomentsError):
    """Model weights are missing, damaged or belong to another model."""


class MissingExtraError(LiveMomentsError):
    """An optional dependency is not installed; the message names the extra that brings it."""


def list_some(names: Iterable[object]) -> str:
    """Name the first three of several things, and say how many more there are."""
    listed = [str(name) for name in names]
    more = f" and {len(listed) - 3} more" if len(listed) > 3 else ""
    return ", ".join(listed[:3]) + more


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message; the name of its class where it has none."""
    return next(iter(str(error).strip().splitlines()), "") or type(error).__name__
