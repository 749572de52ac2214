"""What checking the inputs costs: a training step with `model.check_inputs` True against False.

    python benchmarks/input_checks.py [--quick]

`checks.py` looks at every image, box, label and mask of a batch. A step varies by more than that takes, so the column
that counts is "share": the checks alone, measured by themselves, as a part of the step without them. Aimed at: under
3 %. (`mrcnn_lite.train` checks each picture once, when it is read, and not in the step.)
"""

from __future__ import annotations

import pairs
import torch
from timing import Table, begin, parser, take_turns

from mrcnn_lite.checks import check_batch


def main(arguments: list[str] | None = None) -> None:
    options = parser(__doc__).parse_args(arguments)
    devices = begin(options)
    columns = {"device": 6, "model": 8, "batch": 5, "unchecked, ms": 8, "checked, ms": 8, "ratio": 6}
    table = Table({**columns, "checks alone, ms": 8, "share": 6})
    for device in devices:
        for name in ("tiny",) if options.quick else ("tiny", "resnet50"):
            pair = getattr(pairs, name)().to(device)
            turns = 9 if name == "tiny" else 3
            model, config = pair.ours, pair.ours.config
            step = pairs.trainer(model, pair)

            def unchecked(model=model, step=step):
                model.check_inputs = False
                return step()

            def checked(model=model, step=step):
                model.check_inputs = True
                return step()

            def alone(pair=pair, config=config):
                check_batch(pair.images, pair.targets, config.num_classes, config.heads)

            losses = []
            for call in (unchecked, checked):
                torch.manual_seed(0)
                losses.append(torch.stack(list(call().values())))
            if not torch.allclose(losses[0], losses[1], rtol=1e-4):
                raise SystemExit(f"checking the inputs changed the losses: {losses}")

            times = take_turns({"unchecked": unchecked, "checked": checked, "alone": alone}, device, turns)
            medians = [times.ms("unchecked"), times.ms("checked"), times.ratio("checked", "unchecked")]
            share = f"{times.ratio('alone', 'unchecked'):.1%}"
            table.row(device.type, name, len(pair.images), *medians, times.ms("alone"), share)


if __name__ == "__main__":
    main()
