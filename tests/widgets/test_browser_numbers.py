"""The numbers that a widget shows, after it was moved in a real browser, are those that the package computes.

Skipped where there is no Chromium; a page error, a line on the console or a request fails a test.
"""

from __future__ import annotations

import base64
import re

import pytest
import torch

from mrcnn_lite import anchors, boxes, evaluation, keypoint_head, mask_head, matching, roi_ops
from mrcnn_lite.config import Config
from mrcnn_lite.info import describe


def numbers(words: str) -> list[float]:
    return [float(found.replace("−", "-")) for found in re.findall(r"[−-]?\d+(?:\.\d+)?", words)]


def test_self_test_says_what_was_tried(shown):
    one = shown("self_test")
    assert "✓ Yes" in one.root.inner_text() and one.root.inner_text().count("(to do)") == 2
    one.frame.locator(".mw-handle").focus()
    one.changes(lambda: one.page.keyboard.press("ArrowRight"))
    assert numbers(one.read("place")) == one.state()["dot"] == [0.22, 0.35]
    dot, canvas = (one.frame.locator(part).bounding_box() for part in (".mw-handle", "canvas"))
    one.page.mouse.move(dot["x"] + 15, dot["y"] + 15)
    one.page.mouse.down()
    one.page.mouse.move(canvas["x"] + 0.8 * canvas["width"], canvas["y"] + 0.65 * canvas["height"], steps=5)
    one.page.mouse.up()
    one.frame.get_by_text("(to do)").first.wait_for(state="hidden")
    assert one.root.inner_text().count("(done)") == 3


def ramp() -> torch.Tensor:
    return torch.arange(8.0).expand(1, 1, 8, 8)


@pytest.mark.parametrize("reduce", ["mean", "max"])
def test_roi_align_shows_what_python_computes(shown, reduce):
    """After a drag by mouse and steps by keyboard: the crops, the formula's result, the cells that get a gradient."""
    one = shown("roi_align", state={"reduce": reduce})
    box = one.frame.locator("[data-drag]").first.bounding_box()
    one.page.mouse.move(box["x"] + 40, box["y"] + 40)
    one.page.mouse.down()
    one.page.mouse.move(box["x"] + 63, box["y"] + 29, steps=5)
    one.page.mouse.up()
    corner = one.frame.get_by_label("lower right")
    corner.focus()
    one.changes(lambda: one.page.keyboard.press("Shift+ArrowLeft"))
    state = one.state()
    assert state["box"] != one.widget.state["box"]
    rois = torch.tensor([[0.0, *state["box"]]])
    features = ramp().clone().requires_grad_()
    for op in ("pool", "warp", "align"):
        options = {} if op == "pool" else {"reduce": reduce}
        crop = getattr(roi_ops, f"roi_{op}")(features, rois, state["side"], 1 / 16, **options)
        label = one.frame.get_by_label(re.compile(f"^RoI{op.title()}: ")).get_attribute("aria-label")
        assert numbers(label.split(":")[1]) == pytest.approx(crop.flatten().tolist(), abs=0.0051)
        row, column = state["bin"]
        one.frame.locator(f"[data-op={op}]").click()
        one.frame.locator(f"[data-op={op}][aria-pressed=true]").wait_for()
        result = numbers(one.read("formula").splitlines()[-2].split("=")[-1])
        assert result == pytest.approx([crop[0, 0, row, column].item()], abs=0.00051)
        features.grad = None
        crop.sum().backward()
        one.frame.get_by_text("gradient", exact=True).click()
        one.frame.get_by_text("gradient reaches").first.wait_for()
        if reduce == "mean" or op == "pool":  # of a ramp's points several are the maximum: rounding chooses
            assert features.grad is not None
            assert numbers(one.read(f"summary-{op}")) == [int((features.grad > 1e-6).sum())]
        one.frame.get_by_text("difference", exact=True).click()
        one.frame.get_by_text("off by").first.wait_for()


def test_roi_align_takes_numbers_and_chooses_bins(shown):
    one = shown("roi_align")
    field = one.frame.get_by_label("x1", exact=True)
    field.fill("40.5")
    one.page.keyboard.press("Tab")
    assert one.state()["box"] == [40.5, *one.widget.state["box"][1:]]
    pick = one.frame.get_by_label(re.compile("^RoIPool, bin"))
    pick.first.focus()
    one.changes(lambda: one.page.keyboard.press("ArrowDown"))
    assert (one.state()["op"], one.state()["bin"]) == ("pool", [1, 1])
    one.changes(lambda: pick.first.click(position={"x": 5, "y": 5}))
    assert one.state()["bin"] == [0, 0]
    assert one.read("formula").startswith("RoIPool · bin in row 1, column 1 of 3 × 3")


def test_anchors_shows_what_python_computes(shown):
    one = shown("anchors")
    one.frame.locator(".mw-handle:not(.mw-dot)").nth(1).focus()  # the object's body, above the grid of points
    one.changes(lambda: one.page.keyboard.press("Shift+ArrowRight"))
    one.changes(lambda: one.frame.locator("[data-key=stride] input[value='8']").check(force=True))
    state = one.state()
    cell = anchors.cell_anchors([state["anchor"]], [0.5, 1, 2])
    grid = anchors.grid_anchors(cell, (32, 32), (8, 8)).double()
    target = torch.tensor([state["object"]], dtype=torch.float64)
    matched = matching.match(target, grid, state["fg"], state["bg"], best_anchor_rule=True)
    counts = {
        "positive": matched >= 0,
        "ignored": matched == matching.IGNORED,
        "negative": matched == matching.NEGATIVE,
    }
    assert {name: int(one.read(name)) for name in counts} == {name: int(found.sum()) for name, found in counts.items()}
    overlap = boxes.iou(target, grid)[0]
    best = int(overlap.argmax())
    lines = one.read("formula").splitlines()
    assert numbers(lines[1].split("IoU")[1]) == pytest.approx([float(overlap[best])], abs=0.00051)
    deltas = boxes.encode(grid[best][None], target)[0].tolist()
    assert [numbers(line.split("=")[-1])[0] for line in lines[3:]] == pytest.approx(deltas, abs=0.00051)


@pytest.mark.parametrize("per_class", [True, False])
def test_nms_keeps_what_python_keeps(shown, per_class):
    one = shown("nms", state={"per_class": per_class})
    one.frame.locator("[data-drag]").nth(5).focus()  # the dog
    one.changes(lambda: one.page.keyboard.press("Shift+ArrowLeft"))
    forward, taken = one.frame.locator("[data-walk='1']"), 0
    while forward.is_enabled():
        one.changes(forward.click)
        taken += 1
        one.frame.get_by_text(f"{taken} / ").wait_for()
    state = one.state()
    groups = torch.tensor([label == "dog" and per_class for label in state["labels"]]).long()
    scores = torch.tensor(state["scores"])
    kept = boxes.batched_nms(torch.tensor(state["boxes"]).float(), scores, groups, state["threshold"])
    rows = one.frame.locator("tbody tr").all_inner_texts()
    order = scores.argsort(descending=True).tolist()
    assert [k for k, row in zip(order, rows) if "✓ kept" in row] == kept.tolist()
    assert len(kept) == taken and f"{taken} kept, {8 - taken} gone, 0 waiting" in one.read("summary")


def test_roi_pool_shows_where_python_reads(shown):
    one = shown("roi_pool")
    one.frame.locator("[data-drag]").first.focus()
    one.changes(lambda: one.page.keyboard.press("Shift+ArrowDown"))
    state = one.state()
    cells = roi_ops.snap_to_cells(torch.tensor([[0.0, *state["box"]]]), 1 / state["stride"])[0, 1:]
    lines = one.read("formula").splitlines()
    for k, side in enumerate((cells * state["stride"]).tolist()):
        assert f"→  {side:g} px" in lines[1 + k]
        assert numbers(lines[1 + k].split("moved by")[1].replace("+", "")) == [side - state["box"][k]]
    # A feature of each column's number, then of each row's: the maximum in the chosen bin is its last cell.
    columns = torch.arange(16.0).expand(16, 16)
    maps = torch.stack([columns, columns.T, -columns, -columns.T])[None]
    crop = roi_ops.roi_pool(maps, torch.tensor([[0.0, *state["box"]]]), state["side"], 1 / state["stride"])
    right, bottom, left, top = crop[0, :, state["bin"][0], state["bin"][1]].tolist()
    read = [numbers(line.split("read")[1].split("centre")[0]) for line in lines[6:8]]
    assert read == [[-left * 16, right * 16 + 16], [-top * 16, bottom * 16 + 16]]


@pytest.mark.parametrize("kind", ["sigmoid", "softmax"])
def test_mask_loss_shows_what_python_computes(shown, kind):
    """A stroke by mouse over three pixels, then the loss and every gradient, from the logits on screen."""
    one = shown("mask_loss", state={"loss": kind, "label": 3})
    canvas = one.frame.locator("canvas").first.bounding_box()
    cell = canvas["width"] / 6
    one.page.mouse.move(canvas["x"] + 0.5 * cell, canvas["y"] + 5.5 * cell)
    one.changes(one.page.mouse.down)
    one.changes(lambda: one.page.mouse.move(canvas["x"] + 1.5 * cell, canvas["y"] + 5.5 * cell, steps=3))
    one.page.mouse.up()
    one.frame.locator("[data-drag]").focus()
    one.page.keyboard.press("ArrowUp")
    one.changes(lambda: one.page.keyboard.press("Space"))
    state = one.state()
    changed = [p for p in range(36) if state["target"][p] != one.widget.state["target"][p]]
    assert changed == [25, 30, 31]
    words = [label.get_attribute("aria-label") for label in one.frame.locator("canvas").all()]
    read = {part: [numbers(w.split(": ")[1]) for w in words if w.startswith(part)] for part in ("Logits", "Gradient")}
    planes = read["Logits"][3:] + read["Logits"][:3]  # the background's stands last on screen, first in the tensor
    logits = torch.tensor(planes, dtype=torch.float64).view(1, -1, 6, 6).requires_grad_()
    target = torch.tensor(state["target"], dtype=torch.float64).view(1, 6, 6)
    loss = mask_head.MASK_LOSSES[kind].loss(logits, torch.tensor([3]), target) / 36
    loss.backward()
    assert numbers(one.read("result"))[0] == pytest.approx(float(loss.detach()), abs=0.000051)
    assert logits.grad is not None
    grads = torch.tensor(read["Gradient"][3:] + read["Gradient"][:3]).view(1, -1, 6, 6)
    assert torch.allclose(grads, 36 * logits.grad.float(), atol=0.0051)
    zeros = [one.read(f"sum-{k}") for k in (1, 2)]
    assert ("exactly 0" in zeros[0] and "exactly 0" in zeros[1]) == (kind == "sigmoid")


def test_tasks_counts_parts_as_scipy_does(shown):
    ndimage = pytest.importorskip("scipy.ndimage")
    one = shown("tasks", state="touching")
    one.frame.locator("[data-drag]").first.focus()
    for _ in range(3):  # away from the other disc
        one.changes(lambda: one.page.keyboard.press("Shift+ArrowLeft"))
        discs = one.state()["centres"][:2]
        y, x = torch.meshgrid(*[torch.arange(128) * 2.0 + 1] * 2, indexing="ij")
        near = [(x - cx) ** 2 + (y - cy) ** 2 < r**2 for (cx, cy), r in zip(discs, (42, 36))]
        assert numbers(one.read("says"))[0] == ndimage.label((near[0] | near[1]).numpy())[1]
    assert numbers(one.read("says"))[0] == 2
    one.changes(lambda: one.frame.locator("[data-key=task] input[value=instance]").check(force=True))
    visible = [int(near[0].sum() - (near[0] & near[1]).sum()) * 4, int(near[1].sum()) * 4]
    assert numbers(one.read("says"))[1:3] == visible


def test_precision_recall_shows_cocos_figures(shown):
    """The ten thresholds of AP, with boxes made to have the IoU that each point stands for."""
    one = shown("precision_recall")
    one.frame.locator("[data-drag]").nth(5).focus()
    one.changes(lambda: one.page.keyboard.press("Shift+ArrowDown"))
    state = one.state()
    of_object = [0, 1, 2, -1, 3, 4, 5, 6, -1, 7, 1, -1, 8, -1]
    place = [[0.0, 100.0 * n, 100.0, 100.0] for n in range(10)]
    entries = []
    for score, overlap, number in zip(state["scores"], state["box"], of_object):
        x, y, w, h = place[number] if number >= 0 else [500.0, 500.0, 10.0, 10.0]
        # WHY the hair: COCO's IoU of 0.55 * 100 may come out as 0.5499…, ours is the number itself.
        box = [x, y, w * (overlap + 1e-9) if number >= 0 else w, h]
        entries.append({"image_id": 1, "category_id": 1, "bbox": box, "score": score})
    truth = [
        {"id": n + 1, "image_id": 1, "category_id": 1, "bbox": box, "area": 1e4, "iscrowd": 0}
        for n, box in enumerate(place)
    ]
    images = [{"id": 1, "height": 1000, "width": 1000, "file_name": "1.png"}]
    coco = {"images": images, "annotations": truth, "categories": [{"id": 1, "name": "thing"}]}
    figures = evaluation.evaluate_detections(entries, coco, tasks=["box"]).box
    said = dict(re.findall(r"(AP[^=]*?) = ([\d.]+)", one.read("result")))
    assert float(said["AP at 0.50:0.95"]) == pytest.approx(figures["AP"], abs=0.00051)
    assert float(said["AP50"]) == float(said["AP at IoU 0.5"]) == pytest.approx(figures["AP50"], abs=0.00051)
    assert float(said["AP75"]) == pytest.approx(figures["AP75"], abs=0.00051)


def test_keypoints_shows_what_python_computes(shown):
    one = shown("keypoints")
    one.frame.get_by_role("button", name="true joint").focus()
    one.changes(lambda: one.page.keyboard.press("Shift+ArrowUp"))
    state = one.state()
    box, side = torch.tensor([state["box"]]), state["side"]
    cell, _ = keypoint_head.encode_heatmaps(torch.tensor([[[*state["joint"], 2.0]]]), box, side)
    peak, _ = keypoint_head.encode_heatmaps(torch.tensor([[[*state["peak"], 2.0]]]), box, side)
    rows, columns = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    squares = (columns - peak % side) ** 2 + (rows - peak // side) ** 2
    logits = state["sure"] * torch.exp(-squares / 3)
    loss = torch.nn.functional.cross_entropy(logits.view(1, -1), cell[0])
    point = keypoint_head.decode_heatmaps(logits[None, None], box)[0][0, 0, :2]
    lines = one.read("formula").splitlines()
    assert numbers(lines[0])[-1] == int(cell)
    assert numbers(lines[1].split("=")[2])[0] == pytest.approx(loss.item(), abs=0.00051)
    assert numbers(lines[2])[:2] == pytest.approx(point.tolist(), abs=0.051)
    distance = (point - torch.tensor(state["joint"])).norm().item()
    assert numbers(lines[2])[2] == pytest.approx(distance, abs=0.0051)
    area = 0.53 * (box[0, 2] - box[0, 0]) * (box[0, 3] - box[0, 1])
    similarity = torch.exp(-(distance**2) / (2 * area * (2 * 0.062) ** 2)).item()
    assert numbers(lines[3].split("=")[1])[0] == pytest.approx(similarity, abs=0.00051)


def test_xray_walks_from_anchor_to_box_as_python_decodes(shown):
    one = shown("xray", state={"stage": 0.9})
    data = one.widget.data
    marker = one.frame.locator("[data-drag]")
    label = one.frame.get_by_label(re.compile("^The picture; ")).first
    for _ in range(3):
        marker.focus()
        one.changes(lambda: one.page.keyboard.press("ArrowRight"))
        stage, detection = one.state()["stage"], data["detections"][0]
        key, start = ("rpn_deltas", "anchor") if stage < 1 else ("box_deltas", "proposal")
        weights = [1.0] * 4 if stage < 1 else data["weights"]
        deltas = torch.tensor([detection[key]]) * (stage % 1)
        box = boxes.clip(boxes.decode(torch.tensor([detection[start]]), deltas, weights), (128, 128))[0]
        said = numbers(label.get_attribute("aria-label").split(" at ")[1])[:4]
        assert said == pytest.approx(box.tolist(), abs=0.051)
    pasted = mask_head.paste(mask_of(data["detections"][0]), torch.tensor([detection["box"]]), (128, 128))
    assert numbers(one.read("formula").splitlines()[-1])[0] == int(pasted.sum())


def mask_of(detection):
    recorded = detection["mask"]
    codes = torch.tensor(list(base64.b64decode(recorded["values"]))).view(1, recorded["height"], recorded["width"])
    return recorded["low"] + (recorded["high"] - recorded["low"]) / 255 * codes


def test_training_replay_shows_the_recording(shown):
    """At the start, after a drag along the curves and a step by key: the losses, the sampled RoIs, what was found."""
    one = shown("training_replay", state="end")
    data = one.widget.data
    truth = torch.tensor([thing["box"] for thing in data["objects"]])
    curves = one.frame.locator("[data-drag]")

    def drag() -> None:
        box = curves.bounding_box()
        one.page.mouse.move(box["x"] + 0.9 * box["width"], box["y"] + 20)
        one.page.mouse.down()
        one.page.mouse.move(box["x"] + 0.7 * box["width"], box["y"] + 90, steps=5)
        one.page.mouse.up()

    def key() -> None:
        curves.focus()
        one.page.keyboard.press("ArrowRight")

    seen = set()
    for action in (lambda: None, lambda: one.changes(drag), lambda: one.changes(key)):
        action()
        state = one.state()
        at, top, least = state["checkpoint"], state["top"], state["threshold"]
        seen.add(at)
        recorded, step = data["checkpoints"][at], data["steps"][at]
        one.frame.get_by_text(f"after step {step} of").wait_for()
        for name, loss in recorded["batches"].items():
            assert numbers(one.read(name)) == pytest.approx([loss, recorded["own"][name]], abs=1e-9)
        lines = one.read("outcome").splitlines()
        own = sum(n >= len(base64.b64decode(recorded["proposals"])) // 5 for n in recorded["rois"])
        assert numbers(lines[1]) == [recorded["positives"], own, len(recorded["rois"]) - recorded["positives"]]
        sure = [found for found in recorded["detections"] if found["score"] >= least]
        assert numbers(lines[2]) == [len(sure), least, recorded["detected"]]
        codes = torch.tensor(list(base64.b64decode(recorded["proposals"]))).view(-1, 5)
        overlap = boxes.iou(128 / 255 * codes[:top, :4], truth).amax(0)
        for line, thing, best in zip(lines[3:], data["objects"], overlap):
            said = numbers(line)
            assert said[:2] == [top, pytest.approx(float(best), abs=0.0051)]
            there = [f for f in sure if boxes.iou(torch.tensor([f["box"]]), torch.tensor([thing["box"]])) >= 0.5]
            if not there:
                assert line.endswith("not detected")
                continue
            a, b = recorded_mask(there[0]["mask"]), recorded_mask(thing["mask"])
            figures = [
                there[0]["score"],
                float(boxes.iou(torch.tensor([there[0]["box"]]), torch.tensor([thing["box"]]))),
                float((a & b).sum() / (a | b).sum()),
            ]
            assert f"→ {data['classes'][there[0]['label']]} " in line
            assert said[2:] == pytest.approx(figures, abs=0.0051)
    assert len(seen) == 3


def recorded_mask(runs):
    """The lengths of its runs, seven bits a byte, as [128 * 128] of bool."""
    lengths, length, shift = [], 0, 0
    for byte in base64.b64decode(runs):
        length, shift = length + ((byte & 127) << shift), shift + 7
        if byte < 128:
            lengths.append(length)
            length = shift = 0
    return (torch.arange(len(lengths)) % 2).bool().repeat_interleave(torch.tensor(lengths))


def test_training_replay_plays_pauses_and_keeps_still_for_those_who_ask(shown):
    one = shown("training_replay", state={"checkpoint": 3})
    button = one.frame.locator("[data-play]")
    assert "Play" in button.inner_text()
    one.changes(button.click)
    while one.state()["checkpoint"] < 6:
        one.changes(lambda: None)
    assert "Pause" in button.inner_text()
    button.click()
    at = one.state()["checkpoint"]
    one.page.wait_for_timeout(1200)
    assert one.state()["checkpoint"] == at and "Play" in button.inner_text()
    one.changes(button.click)  # plays again, until somebody takes the cursor
    one.frame.locator("[data-drag]").focus()
    one.changes(lambda: one.page.keyboard.press("Shift+ArrowRight"))
    at = one.state()["checkpoint"]
    one.page.wait_for_timeout(1200)
    assert one.state()["checkpoint"] == at and "Play" in button.inner_text()

    one.page.emulate_media(reduced_motion="reduce")
    one.changes(one.frame.locator("[data-preset=first]").click)
    assert "Next" in button.inner_text()
    assert one.changes(button.click) == {"checkpoint": 2}
    one.page.wait_for_timeout(1200)
    assert one.state()["checkpoint"] == 2


def test_architecture_shows_describes_figures(shown):
    one = shown("architecture", state={"network": "r50-c4"})
    network = describe(Config.named("r50-c4"))
    one.changes(one.frame.locator("[data-step='2.1']").click)
    step = network.parts[2].steps[1]
    words = one.read("formula")
    assert "box head · res5" in words and "×".join(map(str, step.outputs[0])) in words
    assert f"{step.parameters / 1e6:.2f} M parameters" in words and f"{step.macs / 1e9:.2f} G" in words
    assert f"{100 * step.parameters / network.parameters:.3g} %" in words
    one.changes(lambda: one.frame.locator("[data-key=network] input[value='r50-fpn']").check(force=True))
    pooler = roi_ops.RoIPooler(roi_ops.align_levels, 7, [1 / 4, 1 / 8, 1 / 16, 1 / 32])
    one.frame.locator("[data-drag]").nth(4).focus()  # the lower right corner
    for _ in range(6):
        one.changes(lambda: one.page.keyboard.press("Shift+ArrowLeft"))
        level = int(pooler.levels(torch.tensor([[0.0, *one.state()["box"]]]))) + 2
        assert f"→ P{level}," in one.read("level")
