"""Training: a run, the step that it repeats, the pictures that a step sees, what is written down.

    from mrcnn_lite.training import train, validation_loss, NonFiniteLoss

Read next: `run.py`.
"""

from .run import train, validation_loss
from .trainer import NonFiniteLoss

__all__ = ["NonFiniteLoss", "train", "validation_loss"]
