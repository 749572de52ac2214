"""mrcnn_lite: Mask R-CNN (He et al., 2017) to read in an evening, train on a laptop and trust to the last digit.

    import mrcnn_lite as m
    model = m.build_model(m.Config.tiny(num_classes=7))
    losses = model.losses(images, targets)      # a dict of five losses
    detections = model.detect(images)           # boxes, labels, scores, masks of each image

The names below are loaded when first used, so `import mrcnn_lite` alone costs next to nothing.
"""

from importlib import import_module

__version__ = "0.1.0"

_WHERE = {
    "Config": "config",
    "MaskRCNN": "model",
    "build_model": "build",
    "from_torchvision": "torchvision_models",
    "load": "weights",
    "save": "weights",
    "evaluate": "evaluation",
    "train": "training",
    "predict": "prediction",
    "open_dataset": "data",
}
__all__ = [*_WHERE, "roi_ops"]


def __getattr__(name: str):  # type: ignore[no-untyped-def]
    if name == "roi_ops":
        return import_module(".roi_ops", __name__)
    if name in _WHERE:
        value = getattr(import_module(f".{_WHERE[name]}", __name__), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
