"""Exercises of chapter 08, training: the sum of losses, sampling, warm-up, scaling, accumulation, four broken runs.

Letters: P proposals of one image, R RoIs. Read next: `mrcnn_lite/training/schedule.py`, `mrcnn_lite/matching.py`;
tests/test_exercises.py holds the answers equal to them.
"""

# mypy: ignore-errors
# (The classes hold functions, not methods, and mypy would read the first argument as self.)

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..config import Training
from ..training import schedule
from .answers import call
from .exercise import WRONG, Exercise


class total_loss(Exercise):
    text = """
**One number to go downhill on.** `losses` names the parts (five in Mask R-CNN), `weights` gives some of them a
weight; all others count 1, as in the paper, where all do. Return the weighted sum. A weight for a part that is not
there (a network without masks) is no mistake and changes nothing.
"""
    minutes, difficulty = 5, 1
    hints = (
        "`weights.get(name, 1)`.",
        "A sum, no mean: the learning rate was chosen for the sum.",
    )

    def answer(losses, weights):
        return sum(weights.get(name, 1) * loss for name, loss in losses.items())

    def stub(losses: dict[str, Tensor], weights: dict[str, float]) -> Tensor:
        """losses: name -> a number; weights: name -> its weight, 1 if it has none -> the weighted sum."""
        ...

    def inputs(random: torch.Generator) -> Iterator[tuple[Any, ...]]:
        names = ("loss_objectness", "loss_rpn_box_reg", "loss_classifier", "loss_box_reg", "loss_mask")
        yield {"loss_mask": torch.tensor(2.0)}, {}
        yield {"loss_mask": torch.tensor(2.0), "loss_classifier": torch.tensor(1.0)}, {"loss_mask": 0.5}
        for weights in ({}, {"loss_mask": 0.0}, {"loss_box_reg": 2.0, "loss_keypoint": 3.0}, {"loss_objectness": 0.1}):
            yield dict(zip(names, torch.rand(5, generator=random).unbind())), weights

    class mistakes:
        def mean(losses, weights):
            """the mean of the parts; it is their sum: a mean of five is a fifth of the learning rate"""
            return total_loss.answer(losses, weights) / len(losses)

        def heads_only(losses, weights):
            """the RPN's two losses are missing: L_cls + L_box + L_mask is of the heads, the RPN is trained as well"""
            heads = {n: v for n, v in losses.items() if n not in ("loss_objectness", "loss_rpn_box_reg")}
            return total_loss.answer(heads, weights)

        def weights_ignored(losses, weights):
            """the weights are ignored"""
            return sum(losses.values())

        def only_with_a_weight(losses, weights):
            """parts without a weight are left out; they count 1"""
            return sum(weights.get(name, 0) * loss for name, loss in losses.items())

        def normalised(losses, weights):
            """divided by the sum of the weights; then a smaller weight for one part would raise all others"""
            return total_loss.answer(losses, weights) / sum(weights.get(name, 1) for name in losses)

    class unusual:
        def stacked(losses, weights):
            scale = torch.tensor([float(weights.get(name, 1)) for name in losses], dtype=torch.float64)
            return torch.stack(list(losses.values())).double() @ scale

        def as_differences(losses, weights):
            total = float(sum(losses.values()))
            for name, weight in weights.items():
                if name in losses:
                    total += (weight - 1) * losses[name].item()
            return total


class sample_rois(Exercise):
    text = """
**Which RoIs are trained on?** `best_iou [P]` is each proposal's IoU with its best object; `0.5` and more is positive,
all others are negative. Draw `num_samples`: at most a **quarter** positive, the rest negative, and fewer if there are
not enough. The draw is random; `order [P]` are the random numbers, and who has a larger one comes first. Return the
indices: the positives, then the negatives, each by falling `order`.
"""
    minutes, difficulty = 15, 2
    hints = (
        "`order.argsort(descending=True)` is the queue; pick from it the positives, and the negatives.",
        "Most positives: `int(num_samples * 0.25)`. Negatives fill up what is left of `num_samples`.",
        "Where positives are few, there are more negatives; where negatives are few, positives do NOT fill up.",
    )

    def answer(best_iou, order, num_samples):
        queue = order.argsort(descending=True)
        is_positive = best_iou[queue] >= 0.5
        positives = queue[is_positive][: int(num_samples * 0.25)]
        negatives = queue[~is_positive][: num_samples - len(positives)]
        return torch.cat([positives, negatives])

    def stub(best_iou: Tensor, order: Tensor, num_samples: int) -> Tensor:
        """best_iou, order [P] -> indices of the sampled proposals, positives first."""
        ...

    def inputs(random: torch.Generator) -> Iterator[tuple[Any, ...]]:
        for few, good, num_samples in (
            (6, 2, 4),
            (8, 1, 8),
            (12, 9, 8),
            (10, 0, 4),
            (40, 20, 16),
            (40, 4, 16),
            (200, 90, 64),
        ):
            best_iou = torch.cat(
                [0.5 + torch.rand(good, generator=random) / 2, torch.rand(few - good, generator=random) / 2]
            )
            best_iou[0] = 0.5 if good else 0.4
            shuffled = torch.randperm(few, generator=random)
            yield best_iou[shuffled], torch.rand(few, generator=random), num_samples

    class mistakes:
        def three_for_each(best_iou, order, num_samples):
            """three negatives for each positive; negatives fill up to the number of samples, however few positives"""
            every = sample_rois.answer(best_iou, order, num_samples)
            positive = int((best_iou[every] >= 0.5).sum())
            return every[: 4 * positive]

        def half(best_iou, order, num_samples):
            """half of them positive, as in the RPN; the heads take a quarter"""
            return drawn(best_iou, order, num_samples, num_samples // 2, best_iou < 0.5)

        def ignored_zone(best_iou, order, num_samples):
            """proposals between 0.3 and 0.5 are left out, as the RPN does; here they are negative, the hardest ones"""
            return drawn(best_iou, order, num_samples, num_samples // 4, best_iou < 0.3)

        def best_first(best_iou, order, num_samples):
            """the best positives are taken; it is a random draw, else the heads see easy ones only"""
            return sample_rois.answer(best_iou, torch.where(best_iou >= 0.5, 1 + best_iou, order), num_samples)

        def filled_with_positives(best_iou, order, num_samples):
            """positives fill up where negatives are missing: never more than a quarter"""
            every = sample_rois.answer(best_iou, order, num_samples)
            queue = order.argsort(descending=True)
            rest = [i for i in queue.tolist() if best_iou[i] >= 0.5 and i not in every.tolist()]
            return torch.cat([every, torch.tensor(rest[: num_samples - len(every)], dtype=torch.int64)])

        def above_only(best_iou, order, num_samples):
            """an IoU of exactly 0.5 is positive too"""
            return sample_rois.answer(torch.where(best_iou == 0.5, 0.49, best_iou), order, num_samples)

    class unusual:
        def in_python(best_iou, order, num_samples):
            queue = sorted(range(len(order)), key=lambda i: -order[i].item())
            positives = [i for i in queue if best_iou[i].item() >= 0.5][: num_samples // 4]
            negatives = [i for i in queue if best_iou[i].item() < 0.5]
            return positives + negatives[: num_samples - len(positives)]

        def by_topk(best_iou, order, num_samples):
            positive = best_iou.double() >= 0.5
            first = torch.where(positive, order, -1.0).topk(min(num_samples // 4, int(positive.sum()))).indices
            room = min(num_samples - len(first), int((~positive).sum()))
            return torch.cat([first, torch.where(positive, -1.0, order).topk(room).indices])


def drawn(best_iou, order, num_samples, most, negative):
    """A draw with another share of positives, or other negatives."""
    queue = order.argsort(descending=True)
    positives = queue[best_iou[queue] >= 0.5][:most]
    return torch.cat([positives, queue[negative[queue]][: num_samples - len(positives)]])


class learning_rate(Exercise):
    text = """
**The learning rate of one step.** `settings` is the package's `Training`: "step" schedules divide by 10 at each of
`milestones` (fractions of the run, `0.75` for the paper's 120k of 160k), "cosine" ones follow (1 + cos(π · fraction)) /
2. During the first `warmup_steps` steps the rate is **also** multiplied by a ramp from `warmup_factor` at step 0 to
1.
"""
    minutes, difficulty = 15, 2
    hints = (
        "First the factor of the schedule; then, if step < settings.warmup_steps, multiply it by the ramp.",
        "The ramp: warmup_factor + (1 - warmup_factor) * step / warmup_steps.",
        "Step schedule: 0.1 to the power of how many milestones have been reached (fraction >= milestone).",
    )
    answer = schedule.learning_rate
    tolerance = 1e-7

    def stub(settings: Training, step: int, fraction: float) -> float:
        """settings; step: how many steps are done; fraction: the part of the run that is over -> the learning rate."""
        ...

    def inputs(random: torch.Generator) -> Iterator[tuple[Any, ...]]:
        paper, two_drops = Training(), Training(milestones=(2 / 3, 8 / 9), warmup_steps=0)
        for step in (0, 1, 125, 250, 499, 500, 119_999, 120_000, 159_999):
            yield paper, step, step / paper.steps
        for fraction in (0.0, 0.5, 0.7, 0.95):
            yield two_drops, int(fraction * 1000), fraction
        cosine = Training(schedule="cosine", lr=2e-3, steps=1000, warmup_steps=200)
        for step in (0, 50, 150, 250, 500, 900):
            yield cosine, step, step / 1000
        short = Training(steps=100, warmup_steps=90, lr=0.01)  # a milestone within the warm-up
        for step in (60, 74, 75, 80, 95):
            yield short, step, step / 100

    class mistakes:
        def no_warmup(settings, step, fraction):
            """the warm-up is missing"""
            return schedule.learning_rate(settings, settings.warmup_steps, fraction)

        def from_zero(settings, step, fraction):
            """the ramp begins at 0; it begins at warmup_factor"""
            return no_ramp(settings, fraction) * min(
                1, step / max(settings.warmup_steps, 1) if settings.warmup_steps else 1
            )

        def constant(settings, step, fraction):
            """the rate stays at warmup_factor and jumps; it rises in a line"""
            return no_ramp(settings, fraction) * (settings.warmup_factor if step < settings.warmup_steps else 1)

        def one_step_late(settings, step, fraction):
            """the drop comes a step late: at fraction = milestone it is due"""
            return schedule.learning_rate(settings, step, fraction - 1e-9)

        def no_drops(settings, step, fraction):
            """the milestones are forgotten"""
            calm = settings if settings.schedule == "cosine" else Training(**{**vars(settings), "milestones": ()})
            return schedule.learning_rate(calm, step, fraction)

        def one_drop(settings, step, fraction):
            """only one drop, however many milestones have been reached: each divides by 10"""
            if settings.schedule == "cosine":
                return schedule.learning_rate(settings, step, fraction)
            return schedule.learning_rate(
                Training(**{**vars(settings), "milestones": settings.milestones[:1]}), step, fraction
            )

        def warmup_instead(settings, step, fraction):
            """during the warm-up the schedule is forgotten; the two are multiplied"""
            return schedule.learning_rate(settings, step, 0.0 if step < settings.warmup_steps else fraction)

    class unusual:
        def as_a_tensor(settings, step, fraction):
            drops = torch.tensor(settings.milestones, dtype=torch.float64) <= fraction
            factor = 10.0 ** -drops.sum()
            if settings.schedule == "cosine":
                factor = torch.cos(torch.tensor(math.pi * fraction / 2, dtype=torch.float64)) ** 2
            return settings.lr * factor * ramp(settings, step)

        def by_interpolation(settings, step, fraction):
            points, values = [0, max(settings.warmup_steps, 1e-9)], [settings.warmup_factor, 1]
            warm = np.interp(step, points, values) if settings.warmup_steps else 1
            return no_ramp(settings, fraction) * warm


def ramp(settings, step):
    if step >= settings.warmup_steps:
        return 1.0
    return settings.warmup_factor + (1 - settings.warmup_factor) * step / settings.warmup_steps


def no_ramp(settings, fraction):
    """The schedule without warm-up."""
    return schedule.learning_rate(settings, settings.warmup_steps, fraction)


class recipe(Exercise):
    text = """
**Another batch size.** The paper's recipe is for 16 images a step: learning rate 0.02, 160,000 steps, divided by 10
at 120,000. You have room for `batch_size` images. Keep the number of *pictures seen*, and scale the learning rate
linearly (Goyal et al. 2017): give (learning rate, steps, step of the drop), the steps as whole numbers.
"""
    minutes, difficulty = 5, 1
    hints = (
        "Half the pictures a step: twice the steps, half the learning rate.",
        "160,000 · 16 / batch_size, rounded.",
    )
    tolerance = 1e-7

    def answer(batch_size):
        share = batch_size / 16
        return 0.02 * share, round(160_000 / share), round(120_000 / share)

    def stub(batch_size: int) -> tuple[float, int, int]:
        """batch_size images a step -> (learning rate, steps, step of the drop)."""
        ...

    def inputs(random: torch.Generator) -> Iterator[tuple[Any, ...]]:
        for batch_size in (16, 1, 2, 4, 8, 32, 64):
            yield (batch_size,)

    class mistakes:
        def same_rate(batch_size):
            """the learning rate is left at 0.02: with 2 images a step the loss is NaN soon"""
            return 0.02, round(160_000 * 16 / batch_size), round(120_000 * 16 / batch_size)

        def root(batch_size):
            """scaled with the root of the batch size; the rule here is linear"""
            return 0.02 * (batch_size / 16) ** 0.5, round(160_000 * 16 / batch_size), round(120_000 * 16 / batch_size)

        def same_steps(batch_size):
            """the steps are left as they are: other numbers of pictures would be seen"""
            return 0.02 * batch_size / 16, 160_000, 120_000

        def drop_left(batch_size):
            """the drop is left at step 120,000; it stays at three quarters of the run"""
            return 0.02 * batch_size / 16, round(160_000 * 16 / batch_size), 120_000

        def inverse(batch_size):
            """the wrong way round: a smaller batch is noisier and takes smaller steps, more of them"""
            return 0.02 * 16 / batch_size, round(160_000 * batch_size / 16), round(120_000 * batch_size / 16)

    class unusual:
        def from_pictures(batch_size):
            pictures = np.array([160_000, 120_000]) * 16
            return torch.tensor(batch_size * 0.00125), *(pictures // batch_size)

        def doubling(batch_size):
            rate, steps, drop = 0.02, 160_000.0, 120_000.0
            while batch_size != 16:
                factor = 2 if batch_size < 16 else 0.5
                rate, steps, drop, batch_size = rate / factor, steps * factor, drop * factor, batch_size * factor
            return [rate, steps, drop]


class accumulated(Exercise):
    text = """
**Gradient accumulation.** A batch does not fit into the memory, so it is cut into parts. Part i has `counts[i]` RoIs
and gives `gradients[i]`, the gradient of the **mean** loss of *its* RoIs. What is the gradient of the mean over
**all** RoIs, which the whole batch would have given?
"""
    minutes, difficulty = 10, 2
    hints = (
        "Undo the means: counts[i] · gradients[i] is the gradient of a sum.",
        "Add up, then divide by all RoIs. Parts without RoIs bring nothing.",
    )

    def answer(gradients, counts):
        total = sum(count * gradient for gradient, count in zip(gradients, counts))
        return total / sum(counts)

    def stub(gradients: list[Tensor], counts: list[int]) -> Tensor:
        """gradients of the parts' mean losses, counts of their RoIs -> gradient of the mean over all RoIs."""
        ...

    def inputs(random: torch.Generator) -> Iterator[tuple[Any, ...]]:
        for counts in ([4, 4], [1, 3], [10, 2], [512, 512, 512, 512], [64, 0, 17], [5]):
            yield [torch.randn(3, generator=random) for _ in counts], counts

    class mistakes:
        def mean_of_means(gradients, counts):
            """the mean of the means: a part with few RoIs then counts as much as one with many"""
            return sum(gradients) / len(gradients)

        def summed(gradients, counts):
            """the gradients are summed, as `backward()` does by itself; divide the loss by the number of parts"""
            return sum(gradients)

        def only_the_last(gradients, counts):
            """only the last part's: the gradient was set to zero between the parts"""
            return gradients[-1]

        def sum_of_sums(gradients, counts):
            """divided by nothing: this is the gradient of the sum over all RoIs"""
            return sum(count * gradient for gradient, count in zip(gradients, counts))

        def weighted_the_wrong_way(gradients, counts):
            """divided by each part's count: the parts are means already, multiply by it"""
            return sum(gradient / max(count, 1) for gradient, count in zip(gradients, counts)) / len(counts)

    class unusual:
        def as_a_product(gradients, counts):
            weights = torch.tensor(counts, dtype=torch.float64) / sum(counts)
            return weights @ torch.stack(gradients).double()

        def running_mean(gradients, counts):
            mean, seen = np.zeros(gradients[0].shape), 0
            for gradient, count in zip(gradients, counts):
                seen += count
                if count:
                    mean = mean + (np.asarray(gradient) - mean) * count / seen
            return mean


class diagnose(Exercise):
    text = """
**What is wrong with A, B, C and D?** Look at the curves, the table and the pictures above, and name the bug of each
run: `"box order"` (boxes as y1, x1, y2, x2), `"half pixel"` (trained with it, used without), `"wrong class"` (the
mask loss on another class's plane), `"no background"` (only positive RoIs are sampled). Give a dictionary of letters.
"""
    minutes, difficulty = 15, 3
    hints = (
        "Two of the runs have losses like the healthy one's. What do their BOXES do?",
        "Whoever has never seen background does not know what to leave out: how many detections has a picture?",
        "A shift hurts where the overlap has to be exact: compare AP50 with AP75.",
    )

    def answer():
        return {
            "A": "no background",  # about a hundred detections a picture; nobody ever told it what is none
            "B": "wrong class",  # boxes as good as the healthy run's, masks not: the bug is in the mask branch alone
            "C": "box order",  # the boxes' losses stay high, nothing is found: box and picture contradict each other
            "D": "half pixel",  # losses and AP50 of the boxes are healthy, AP75 is not: everything is a little off
        }

    @classmethod
    def judge(cls, attempt):
        """As ever, but without the expected answer, which would give all four away: only how many are right."""
        verdict = super().judge(attempt)
        if verdict.status != WRONG:
            return verdict
        found, expected = call(attempt, ()), cls.answer()
        right = sum(found.get(letter) == bug for letter, bug in expected.items()) if isinstance(found, dict) else 0
        cause = verdict.text.splitlines()[0].partition(" inputs.")[2]
        return verdict._replace(text=f"diagnose: {right} of {len(expected)} letters are right.{cause}")

    def stub() -> dict[str, str]:
        """-> {"A": …, "B": …, "C": …, "D": …}, each one of the four names."""
        ...

    def inputs(random: torch.Generator) -> Iterator[tuple[Any, ...]]:
        yield ()

    class mistakes:
        def b_and_d():
            """B and D are exchanged: both have healthy losses, but in one the boxes are as good as ever"""
            return diagnose.answer() | {"B": "half pixel", "D": "wrong class"}

        def a_and_c():
            """A and C are exchanged: a network that takes everything for an object does find the objects too"""
            return diagnose.answer() | {"A": "box order", "C": "no background"}

        def a_and_b():
            """A and B are exchanged: a wrong plane in the mask loss can't make a hundred detections"""
            return diagnose.answer() | {"A": "wrong class", "B": "no background"}

        def c_and_d():
            """C and D are exchanged: half a pixel is a small, equal shift, and AP50 hardly feels it"""
            return diagnose.answer() | {"C": "half pixel", "D": "box order"}

        def a_and_d():
            """A and D are exchanged: a shift does not add detections"""
            return diagnose.answer() | {"A": "half pixel", "D": "no background"}

        def b_and_c():
            """B and C are exchanged: a wrong plane in the mask loss can't hurt the boxes"""
            return diagnose.answer() | {"B": "box order", "C": "wrong class"}

    class unusual:
        def another_order():
            return {"D": "half pixel", "C": "box order", "B": "wrong class", "A": "no background"}

        def zipped():
            return dict(zip("ABCD", ("no background", "wrong class", "box order", "half pixel")))
