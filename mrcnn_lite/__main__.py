"""`python -m mrcnn_lite …` is the command `mrcnn-lite …`. Read next: `cli/__init__.py`."""

from .cli import main

if __name__ == "__main__":  # a spawned training process imports this file too
    raise SystemExit(main())
