"""Set what a benchmark run compares, on what, and how."""

from dataclasses import dataclass, field
from pathlib import Path

from livemoments.errors import ConfigError
from livemoments.lab.metrics.catalogue import METRICS, Sources

DEFAULT_METHODS = ("frame", "key", "restoration-only", "livemoments")


@dataclass(frozen=True, kw_only=True)
class EvaluateConfig:
    """The settings of a run."""

    set_folder: Path
    output: Path
    methods: tuple[str, ...] = DEFAULT_METHODS
    metrics: tuple[str, ...] = tuple(METRICS)
    jobs: int = 1  # processes
    threads: int = 0  # of all of them together; 0: one per core
    limit: int | None = None  # only so many images, the first ones
    title: str = ""
    seed: int = 0  # of methods' noise and of the bootstrap
    sources: Sources = field(default_factory=Sources)  # of the metrics' weights
    published: tuple[str, ...] = ()  # numbers of the paper's tables, for the report
    command: str = ""  # of the terminal, for the report

    def __post_init__(self) -> None:
        if self.limit is not None and self.limit < 1:
            raise ConfigError(f"limit must be 1 or more, got {self.limit}")
        if self.seed < 0:
            raise ConfigError(f"seed must be 0 or more, got {self.seed}")
        for what, names in (("method", self.methods), ("metric", self.metrics)):
            if not names:
                raise ConfigError(f"name at least one {what}")
            if len({*names}) < len(names):
                raise ConfigError(f"a {what} is named twice: {', '.join(names)}")
        unknown = [name for name in self.metrics if name not in METRICS]
        if unknown:
            raise ConfigError(f"no metric {unknown[0]!r}; there are {', '.join(METRICS)}")
