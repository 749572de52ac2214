// The mask loss lab: paint a target, and see which planes of logits the loss pushes, under sigmoid and under softmax.

const M = 6; // side of a mask
const PIXELS = M * M;
const CLASSES = [1, 2, 3];
const CENTRES = [[3.6, 3.4], [1.4, 1.6], [2.2, 3.9], [1.6, 4.1]]; // where each plane is surest; 0 is the background
const STEP = 36; // learning rate: with the mean over 36 pixels a step of 1 for each

export function logitsAt({ target, label, loss, steps }) {
  // The planes after some steps of gradient descent from fixed ones, and their loss and gradient there.
  const at = (k, p) => {
    const [y, x] = [Math.floor(p / M) - CENTRES[k][0], (p % M) - CENTRES[k][1]];
    return Math.round(10 * (4 * Math.exp(-(x * x + y * y) / 4) - 1.5)) / 10;
  };
  const numbers = loss === "softmax" ? [0, ...CLASSES] : CLASSES;
  const planes = numbers.map((k) => Array.from({ length: PIXELS }, (_, p) => at(k, p)));
  let now = MASK_LOSSES[loss](planes, label, target);
  for (let n = 0; n < steps; n++) {
    planes.forEach((plane, k) => plane.forEach((_, p) => (plane[p] -= STEP * now.grad[k][p])));
    now = MASK_LOSSES[loss](planes, label, target);
  }
  return { planes, ...now, predicted: probability(loss, planes, label) };
}

export function maskIoU(predicted, target) {
  const both = predicted.filter((value, p) => value > 0.5 && target[p] > 0.5).length;
  const either = predicted.filter((value, p) => value > 0.5 || target[p] > 0.5).length;
  return either ? both / either : 1;
}

export function render({ model, el }) {
  return frame({ model, el }, (ui) => {
    const lab = { ui, now: null };
    ui.prepare = (state) => (lab.now = logitsAt(state));
    lab.name = (k) => ui.t(`class${k}`);
    lab.plane = (k, state) => (state.loss === "softmax" ? k : k - 1); // where class k's plane is, -1 for none
    lab.warm = (value, most) =>
      mix(ui.ink.low, rgb(value > 0 ? ui.ink.blue : ui.ink.orange), (0.7 * Math.abs(value)) / most);
    const result = (state) =>
      ui.t("result", { loss: number(lab.now.loss, 4), iou: number(maskIoU(lab.now.predicted, state.target)) });
    return [
      make("div", { class: "mw-row" }, choice(ui, "loss", ui.t("loss"), SPEC.choices.loss.map((kind) => ui.t(kind))),
        choice(ui, "label", ui.t("label"), CLASSES.map(lab.name)),
        slider(ui, "steps", ui.t("steps"), { min: 0, max: 40, step: 1 })),
      make("div", { class: "mw-grid", style: "grid-template-columns:minmax(0,0.8fr) minmax(0,3.3fr)" },
        make("div", { class: "mw-pair" }, make("div", {}, caption(ui.t("target")), targetSurface(lab)),
          make("div", {}, caption(ui.t("predicted")), predictedSurface(lab))),
        make("div", { class: "mw-planes" }, ...[...CLASSES, 0].map((k) => column(lab, k)))),
      reading(ui, "result", result, { class: "mw-read", style: "margin-top:.7em" }),
      reading(ui, "formula", (state) => formula(lab, state), { class: "mw-read", tabindex: 0, role: "region",
        "aria-label": ui.t("formula"), style: "margin-top:.4em;--high:7.2em;--long:11em" }),
    ];
  });
}

const tight = (value, digits) => number(value, digits).replace(/^(−?)0\./, "$1."); // "−.29": cells are narrow

const caption = (words) => make("p", { class: "mw-caption mw-quiet" }, words);

function chosenPixel(lab, context, width, [i, j]) {
  const w = width / M;
  const inner = [j * w + 1.5, i * w + 1.5, (j + 1) * w - 1.5, (i + 1) * w - 1.5];
  outline(context, lab.ui, inner, lab.ui.ink.ink, { width: 2, halo: false });
}

function targetSurface(lab) {
  const { ui } = lab;
  const on = surface(ui, {
    label: ({ target }) => ui.t("target_label", { count: target.filter(Boolean).length }),
    draw: (context, width, height, { target, pixel }) => {
      cells(context, ui, width, height, M, M, (i, j) => (target[i * M + j] ? ui.ink.green : ui.ink.panel));
      chosenPixel(lab, context, width, pixel);
    },
  });
  let colour = 1; // what the stroke paints: the opposite of where it began
  const set = (i, j) => {
    const target = ui.state.target.map((value, p) => (p === i * M + j ? colour : value));
    ui.set({ target, pixel: [i, j] });
  };
  const button = handle(ui, on, {
    place: () => [0, 0, 1, 1],
    step: () => [1, 1],
    label: ({ target, pixel: [i, j] }) => ui.t("paint", { row: i + 1, column: j + 1, value: target[i * M + j] }),
    tap: (x, y, from) => { // by arrow key: x and y are steps
      if (from) ui.set({ pixel: [from.pixel[0] + y, from.pixel[1] + x].map((k) => clamp(k, 0, M - 1)) });
    },
    paint: (x, y, first) => {
      const [i, j] = [y, x].map((k) => Math.floor(k * M));
      if (Math.min(i, j) < 0 || Math.max(i, j) >= M) return;
      if (first) colour = 1 - ui.state.target[i * M + j];
      set(i, j);
    },
    press: () => {
      const [i, j] = ui.state.pixel;
      colour = 1 - ui.state.target[i * M + j];
      set(i, j);
    },
  });
  button.style.cursor = "cell";
  return on;
}

function predictedSurface(lab) {
  const { ui } = lab;
  return surface(ui, {
    label: ({ target }) => {
      const over = lab.now.predicted.map((value) => value > 0.5);
      const right = over.filter((value, p) => value === target[p] > 0.5).length;
      return ui.t("predicted_label", { count: over.filter(Boolean).length, right });
    },
    draw: (context, width, height, { pixel }) => {
      const value = (i, j) => lab.now.predicted[i * M + j];
      const paint = (i, j) => mix(ui.ink.low, rgb(ui.ink.green), value(i, j) > 0.5 ? 0.55 : 0.06);
      cells(context, ui, width, height, M, M, paint, (i, j) => tight(value(i, j), 2));
      chosenPixel(lab, context, width, pixel);
    },
  });
}

function column(lab, k) {
  // A class's logits and below them their gradient; for k = 0 the background, which only the softmax has.
  const { ui } = lab;
  const values = (which, state) => lab.now[which][lab.plane(k, state)];
  const none = (state) => lab.plane(k, state) < 0;
  const shown = (which, most, digits, times) => surface(ui, {
    label: (state) => none(state) ? ui.t("no_plane") : ui.t(which === "planes" ? "plane_label" : "gradient_label",
      { name: lab.name(k), values: values(which, state).map((v) => number(v * times, digits)).join(" ") }),
    draw: (context, width, height, state) => {
      if (none(state)) {
        return outline(context, ui, [1, 1, width - 1, height - 1], ui.ink.line, { dash: [4, 4], halo: false });
      }
      const at = (i, j) => values(which, state)[i * M + j] * times;
      cells(context, ui, width, height, M, M, (i, j) => lab.warm(at(i, j), most), (i, j) => tight(at(i, j), digits));
      chosenPixel(lab, context, width, state.pixel);
    },
  });
  const head = reading(ui, `plane-${k}`, (state) => none(state) ? ui.t("no_plane")
    : state.label === k ? ui.t("true_class", { name: lab.name(k) }) : lab.name(k), { class: "mw-caption" });
  const sum = reading(ui, `sum-${k}`, (state) => {
    if (none(state)) return "–";
    const grads = values("grad", state);
    const total = grads.reduce((sum, g) => sum + Math.abs(g), 0);
    return grads.every((g) => g === 0) ? ui.t("zero") : ui.t("sum", { value: `Σ|g| = ${number(total, 3)}` });
  }, { class: "mw-caption" });
  ui.update((state) => (head.style.fontWeight = state.label === k ? 650 : 400));
  return make("div", { class: "mw-column" }, head, caption(ui.t("logits")), shown("planes", 6, 1, 1),
    caption(ui.t("gradient")), shown("grad", 1, 2, PIXELS), sum);
}

function formula(lab, state) {
  const { ui, now: { planes, grad } } = lab;
  const [i, j] = state.pixel;
  const p = i * M + j;
  const t = state.target[p];
  const first = ui.t("f_pixel", { row: i + 1, column: j + 1, t });
  const own = MASK_LOSSES[state.loss](planes.map((plane) => [plane[p]]), state.label, [t]); // of this pixel alone
  const name = lab.name(state.label);
  const value = number(own.loss, 4);
  if (state.loss === "sigmoid") {
    const x = planes[state.label - 1][p];
    const parts = { x: number(x), p: number(sigmoid(x), 4), name, value, g: number(own.grad[state.label - 1][0], 4) };
    return `${first}\n${ui.t("f_sigmoid", parts)}`;
  }
  const each = (words) => planes.map((_, k) => `${lab.name(k)} ${words(k)}`).join(", ");
  const wanted = (k) => (k === state.label ? t : k === 0 ? 1 - t : 0);
  const list = each((k) => number(grad[k][p] * PIXELS + wanted(k), 3)); // the softmax itself: gradient plus target
  const grads = each((k) => number(own.grad[k][0], 3));
  return `${first}\n${ui.t("f_softmax", { list, name, value, grads })}`;
}
export default { render };
