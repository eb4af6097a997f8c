"""Find the task of a training run by the name of its model."""

from livemoments.extras import need_sd3
from livemoments.lab.training.run.config import TrainConfig
from livemoments.lab.training.run.task import Task


def task_of(config: TrainConfig) -> Task:
    """Make the task of a configuration's model.

    Raises:
        MissingExtraError: the model needs packages that are not installed.
    """
    if config.model == "compact":
        from livemoments.lab.training.compact.task import CompactTask

        return CompactTask(config)
    if config.model == "faces":
        from livemoments.lab.training.faces.task import FaceTask

        return FaceTask(config)
    need_sd3("training the sd3 tier")
    from livemoments.lab.training.sd3.task import Sd3Task

    return Sd3Task(config)
