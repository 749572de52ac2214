"""Training: a run, the step that it repeats, the pictures that a step sees, what is written down.

    from mrcnn_lite.training import train, validation_loss, NonFiniteLoss

Read next: `run.py`.
"""

from .errors import NonFiniteLoss
from .run import train
from .validation import validation_loss

__all__ = ["NonFiniteLoss", "train", "validation_loss"]
