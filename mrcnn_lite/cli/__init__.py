"""The command `mrcnn-lite`: its parser, and what happens to errors.

Results go to the standard output, everything else to the error output. Nothing heavy is imported before a command runs,
so that `--help` answers at once. Each command stands in the file that its parser comes from.

Read next: `train.py`, `use.py`, `data.py`, `notebooks.py`.
"""

from __future__ import annotations

import argparse
import os
import sys
import traceback
import warnings
from collections.abc import Sequence
from typing import Any

from .data import add_data
from .notebooks import add_notebooks
from .settings import near
from .train import add_train
from .use import add_evaluate, add_info, add_predict

# As devices.PATIENT_OPENMP, which is out of reach here: it must stand in the environment before torch is imported.
PATIENT_OPENMP = {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "0", "KMP_BLOCKTIME": "0"}
INTERRUPTED = 130  # exit status of what Control-C has ended

EXAMPLES = """first steps:
  mrcnn-lite train --minutes 6                      a small Mask R-CNN on synthetic shapes
  mrcnn-lite evaluate --weights runs/tiny-shapes/model.safetensors --data shapes
  mrcnn-lite predict --weights coco photo.jpg       80 kinds of things, with torchvision's weights
  mrcnn-lite data check my/folder                   is my data as it should be?
  mrcnn-lite info --config r50-fpn                  what is in this network, and what does it cost?
  mrcnn-lite notebooks check                        does the whole course run on this machine?

`mrcnn-lite COMMAND --help` explains each; --debug before the command shows where an error came from."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    -> exit status: 0, 1 (`data check` or `notebooks check` found a problem), 2 (an error, in one line), 130 (Ctrl-C),
    143 (SIGTERM).
    """
    if "torch" not in sys.modules:
        for name, value in PATIENT_OPENMP.items():
            os.environ.setdefault(name, value)
    options, unknown = parser().parse_known_args(arguments)
    if unknown:
        known = [word for action in options.parser._actions for word in action.option_strings]
        options.parser.error(f"unknown option {unknown[0]}{near(unknown[0], known)}")
    with warnings.catch_warnings():
        warnings.showwarning = show_warning
        try:
            status = options.run(options)
            sys.stdout.flush()  # here, where a closed pipe is expected
            return status
        except BrokenPipeError:  # `mrcnn-lite … | head` has seen enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 0
        except KeyboardInterrupt:
            print("\ninterrupted", file=sys.stderr)
            return INTERRUPTED
        except Exception as error:
            if options.debug or not is_expected(error):
                traceback.print_exc()
            print(f"{options.parser.prog}: error: {in_words(error)}", file=sys.stderr)
            return 2


def is_expected(error: Exception) -> bool:
    """Whether the message says it all. What is not of these kinds is a mistake of ours and shows where it happened."""
    return isinstance(error, (ValueError, OSError, ImportError, FloatingPointError, MemoryError)) or is_memory(error)


def is_memory(error: Exception) -> bool:
    return type(error).__name__ == "OutOfMemoryError"  # torch's, told without importing torch


def in_words(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    if is_memory(error):
        return f"{error} (a smaller --batch-size, or --accumulate in training, needs less)"
    return str(error) or type(error).__name__


def show_warning(message: Warning | str, category: type[Warning], *place: Any, **more: Any) -> None:
    print(f"warning: {message}", file=sys.stderr)


def parser() -> argparse.ArgumentParser:
    """All commands with their options."""
    parser = argparse.ArgumentParser(
        prog="mrcnn-lite",
        description="Mask R-CNN: train, evaluate and use it.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    version = sys.modules["mrcnn_lite"].__version__  # the package's face, which no file imports
    parser.add_argument("--version", action="version", version=f"mrcnn_lite {version}")
    parser.add_argument("--debug", action="store_true", help="show where an error came from")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    add_train(commands)
    add_evaluate(commands)
    add_predict(commands)
    add_data(commands)
    add_info(commands)
    add_notebooks(commands)
    return parser
