"""Three kinds of input around the model: targets, configurations, results.

Read next: `fuzz_checkpoints.py`, the fourth.
"""

from __future__ import annotations

import copy
import json
from pathlib import Path
from random import Random
from typing import Any

import fuzz_rules as rules
import torch
from fuzz_mutations import (
    EDGES,
    NUMBERS,
    json_text,
    mutate_tensor,
    mutate_tree,
    slots,
)
from fuzz_seeds import JOINTS, SIZE, Kind, Mutant, coco_tree, parsed, picture, run_lengths, small_model, target

from mrcnn_lite import Config, build_model
from mrcnn_lite.cli.settings import read_config
from mrcnn_lite.coco_results import to_coco_results
from mrcnn_lite.config import types
from mrcnn_lite.evaluation import evaluate_detections

# ---- targets ---------------------------------------------------------------------------------------------


class Targets(Kind):
    """Images and targets as tensors, handed to `model.losses`."""

    name = "targets"
    parser = "two lists of equal length, of tensors and of dicts with all keys as tensors"
    named = r"image \d|images|targets"

    def mutate(self, random: Random, folder: Path) -> Mutant:
        heads = random.choice((("mask",), ("mask", "keypoint"), ("keypoint",), ()))
        empty = {"boxes": torch.zeros(0, 4), "labels": torch.zeros(0).long()}
        empty |= {"masks": torch.zeros(0, *SIZE), "keypoints": torch.zeros(0, JOINTS, 3)}
        images = [torch.from_numpy(picture()).permute(2, 0, 1) / 255 for _ in range(2)]
        tree = {"images": images, "targets": [target(), random.choice((target(), empty))]}
        way = random.choice(("confuse", "tensors", "tensors", "tree"))
        if way == "confuse":
            confuse(tree["targets"][0], random)
        elif way == "tree":
            tree = mutate_tree(tree, random)
        for _ in range(random.randint(1, 2) if way == "tensors" else 0):
            place, key = random.choice([place for place in slots(tree) if isinstance(place[0][place[1]], torch.Tensor)])
            if isinstance(changed := mutate_tensor(place[key], random), torch.Tensor):
                place[key] = changed
        tree = tree if isinstance(tree, dict) else {}
        return {"images": tree.get("images"), "targets": tree.get("targets"), "heads": heads}

    def past(self, mutant: Mutant) -> bool:
        images, targets = mutant["images"], mutant["targets"]
        if not isinstance(images, list) or not isinstance(targets, list) or not 0 < len(images) == len(targets):
            return False
        keys = ["boxes", "labels", *(rules.KEYS[head] for head in mutant["heads"])]
        tensors = [*images, *(one.get(key) if isinstance(one, dict) else None for one in targets for key in keys)]
        return all(isinstance(tensor, torch.Tensor) for tensor in tensors)

    def call(self, mutant: Mutant) -> Any:
        return small_model(mutant["heads"]).losses(mutant["images"], mutant["targets"], seeds=None)

    def check(self, mutant: Mutant, result: Any) -> None:
        rules.good_batch(mutant["images"], mutant["targets"], 3, mutant["heads"], JOINTS)
        for name, loss in result.items():
            assert bool(torch.isfinite(loss)), f"{name} is {loss}"


def confuse(one: dict[str, torch.Tensor], random: Random) -> None:
    """The mistakes that people make, all at least half plausible."""
    boxes, size = one["boxes"], torch.tensor([SIZE[1], SIZE[0]] * 2)
    one |= random.choice(
        (
            {"boxes": torch.cat([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], dim=1)},  # x, y, width, height
            {"boxes": boxes[:, [1, 0, 3, 2]]},
            {"boxes": boxes / size},
            {"boxes": boxes + random.choice((-40, -1, 1, 20))},
            {"masks": one["masks"].flip(0)},
            {"masks": one["masks"] * 255},
            {"masks": one["masks"] * 0.7},
            {"masks": one["masks"].permute(1, 2, 0)},
            {"masks": (one["masks"] * torch.tensor([1, 2])[:, None, None]).sum(0)},
            {"labels": one["labels"] - 1},
            {"labels": one["labels"] + 1},
            {"keypoints": one["keypoints"] * 3},
            {"boxes": boxes.long(), "masks": one["masks"].bool(), "labels": one["labels"].int()},  # harmless
        )
    )


# ---- configurations --------------------------------------------------------------------------------------


class Configurations(Kind):
    """A configuration as a JSON file, a dictionary, or changes."""

    name = "configurations"
    parser = "JSON parsed, to an object; or a dictionary"
    named = r"config\.json|no field|dictionary|train is|" + "|".join(name for name in types(Config))

    def mutate(self, random: Random, folder: Path) -> Mutant:
        plain = Config.named(random.choice(Config.names())).to_dict()
        plain = json.loads(json.dumps(plain))
        if random.random() < 0.5:  # a few settings, as people write them
            chosen = random.sample(sorted(plain), random.randint(1, 6))
            plain = {name: plain[name] for name in chosen}
        if isinstance(plain.get("train"), dict) and random.random() < 0.3:
            plain = {"train": plain["train"]}
        way = random.choice(("file", "file", "dictionary", "changes"))
        if way == "changes":
            names = random.sample(sorted(types(Config)), random.randint(1, 3))
            names = [*names, *(f"train__{name}" for name in random.sample(sorted(types(type(Config().train))), 1))]
            changes = {name: random.choice(EDGES) for name in names[: random.randint(1, len(names))]}
            current = Config().to_dict()
            current |= {f"train__{name}": value for name, value in current["train"].items()}
            for name in changes:
                if isinstance(current[name], (int, float)) and random.random() < 0.5:
                    changes[name] = random.choice((current[name] + 1, current[name] * 2, -current[name], *NUMBERS))
            return {"way": way, "values": changes}
        plain = mutate_tree(plain, random)
        if way == "dictionary":
            return {"way": way, "values": plain}
        file = folder / "config.json"
        file.write_bytes(json_text(plain, random))
        return {"way": way, "file": file}

    def past(self, mutant: Mutant) -> bool:
        return bool(parsed(mutant["file"], dict)) if mutant["way"] == "file" else isinstance(mutant["values"], dict)

    def call(self, mutant: Mutant) -> Any:
        if mutant["way"] == "file":
            return read_config(str(mutant["file"]))
        values = mutant["values"]
        return Config.from_dict(values) if mutant["way"] == "dictionary" else Config().replace(**values)

    def check(self, mutant: Mutant, result: Any) -> None:
        plain = result.to_dict()
        rules.good_config(plain)
        assert Config.from_dict(json.loads(json.dumps(plain, allow_nan=False))) == result
        with torch.device("meta"):  # it can be built
            assert build_model(result).config == result


# ---- results ---------------------------------------------------------------------------------------------


class ResultFiles(Kind):
    """COCO results and their ground truth as files, and detections as tensors, handed to the evaluation."""

    name = "results"
    parser = "JSON parsed, both to lists of objects; or a list of dicts of tensors"
    named = r"results\.json|truth\.json|image |result \d|detections of"

    def mutate(self, random: Random, folder: Path) -> Mutant:
        truth = coco_tree()
        found = [
            {**{key: a[key] for key in ("image_id", "category_id", "bbox", "keypoints")}, "score": 0.5 + a["id"] / 10}
            for a in truth["annotations"]
        ]
        for entry, outline in zip(found, [*run_lengths(), *run_lengths()]):
            entry["segmentation"] = outline
        if random.random() < 0.3:
            names = {3: "cat", 90: "dog"}
            for entry in found:
                entry |= {"file_name": f"photos/{entry['image_id']}.png", "category_name": names[entry["category_id"]]}
        way = random.choice(("results", "results", "results", "truth", "tensors"))
        truth_file, results_file = folder / "truth.json", folder / "results.json"
        if way == "tensors":
            one = {**target(), "scores": torch.tensor([0.9, 0.4])}
            detections = [one, copy.deepcopy(one)]
            if random.random() < 0.2:
                confuse(one, random)
            else:
                detections = mutate_tree(detections, random)
            truth_file.write_text(json.dumps(truth))
            return {"found": detections, "truth": truth_file}
        if way == "truth":
            truth = mutate_tree(truth, random)
        else:
            found = mutate_tree(found, random)
        truth_file.write_bytes(json_text(truth, random) if way == "truth" else json.dumps(truth).encode())
        results_file.write_bytes(json_text(found, random) if way == "results" else json.dumps(found).encode())
        return {"found": results_file, "truth": truth_file}

    def past(self, mutant: Mutant) -> bool:
        found = mutant["found"]
        found = parsed(found, list) if isinstance(found, Path) else found
        whole = {"images", "annotations", "categories"} <= set(parsed(mutant["truth"], dict))
        return whole and isinstance(found, list) and bool(found) and all(isinstance(entry, dict) for entry in found)

    def call(self, mutant: Mutant) -> Any:
        return evaluate_detections(mutant["found"], mutant["truth"])

    def check(self, mutant: Mutant, result: Any) -> None:
        rules.good_figures(result)
        str(result), json.dumps(result.to_dict(), allow_nan=False)
        truth = json.loads(mutant["truth"].read_bytes().decode("utf-8-sig"))
        sizes = {image["id"]: (image["height"], image["width"]) for image in truth["images"]}
        categories = {category["id"] for category in truth["categories"]}
        if isinstance(mutant["found"], Path):
            found = json.loads(mutant["found"].read_bytes().decode("utf-8-sig"))
            by_name = [entry for entry in found if "file_name" in entry or "category_name" in entry]
            assert result.detections == len(found) or (by_name and result.detections < len(found)), "detections lost"
            for entry in found:
                if entry not in by_name:
                    rules.good_entry(entry, sizes, categories)
            return
        label_of = [0, *sorted(categories)]
        found = [e for one, i in zip(mutant["found"], sizes) for e in to_coco_results(one, i, label_of.__getitem__)]
        if mutant["found"]:  # an empty list is also a results file in which nothing was found
            assert len(mutant["found"]) == len(sizes), "detections lost"
        assert result.detections == len(found), "detections lost"
        for entry in found:
            rules.good_entry(entry, sizes, categories)
