// The architecture tracer: every step of a network with its shape and cost, and the pyramid level of a box.

const STRIDES = [4, 8, 16, 32]; // of P2 to P5

export function costOf({ trainable, frozen, macs }, bars) {
  return bars === "macs" ? macs : trainable + frozen;
}

export function totals({ parts }) {
  const steps = parts.flatMap((part) => part.steps);
  const sum = (bars) => steps.reduce((total, step) => total + costOf(step, bars), 0);
  const most = (bars) => Math.max(...steps.map((step) => costOf(step, bars)));
  return { parameters: sum("parameters"), macs: sum("macs"), most };
}

export function pyramidLevel(box) {
  // FPN eq. 1: k before and after rounding down, and the index of the level among P2 to P5.
  const [w, h] = [box[2] - box[0], box[3] - box[1]];
  const exact = 4 + Math.log2(Math.sqrt(w * h) / 224);
  return { w, h, exact, k: Math.floor(exact + 1e-6), index: level(box, STRIDES.map((stride) => 1 / stride)) };
}

const by = (shape) => shape.join("×");

export function render({ model, el }) {
  return frame({ model, el }, (ui) => {
    const lab = { ui, network: null, sums: null };
    ui.prepare = ({ network }) => {
      lab.network = ui.data[network];
      lab.sums = totals(lab.network);
    };
    const large = (value) => value >= 1e9 ? ui.t("billion", { value: number(value / 1e9) })
      : value >= 1e5 ? ui.t("million", { value: number(value / 1e6) }) : `${value}`;
    lab.large = large;
    lab.chosen = ({ step }) => {
      const part = lab.network.parts[clamp(step[0], 0, lab.network.parts.length - 1)];
      return { part, step: part.steps[clamp(step[1], 0, part.steps.length - 1)] };
    };
    const total = () => {
      const { parameters, macs } = lab.sums;
      return ui.t("f_total", { parameters: number(parameters / 1e6, 1), macs: number(macs / 1e9, 1) });
    };
    const formula = (state) => {
      const { part, step } = lab.chosen(state);
      const share = `${number((100 * costOf(step, state.bars)) / lab.sums[state.bars], 2)} %`;
      const shapes = step.outputs.map(by).join(",  ");
      const parameters = large(step.trainable + step.frozen);
      const costs = { parameters, frozen: large(step.frozen), macs: large(step.macs) };
      return [ui.t("f_step", { part: ui.t(part.name), step: step.name, shape: shapes }),
        ui.t("f_cost", { ...costs, share, bars: ui.t(state.bars) }), total()].join("\n");
    };
    const diagram = make("div", { class: "mw-parts" });
    let shown = "";
    ui.update((state) => {
      if (shown !== state.network) diagram.replaceChildren(...lab.network.parts.map((part, p) => column(lab, part, p)));
      shown = state.network;
      diagram.querySelectorAll("button").forEach((button) => paint(lab, button, state));
    });
    return [
      make("div", { class: "mw-row" },
        choice(ui, "network", ui.t("network"), SPEC.choices.network.map((name) => name.toUpperCase())),
        choice(ui, "bars", ui.t("bars"), [ui.t("parameters"), ui.t("macs")])),
      diagram,
      reading(ui, "formula", formula, { class: "mw-read", style: "margin-top:.7em;min-height:5.6em" }),
      levels(lab),
    ];
  });
}

function column(lab, part, p) {
  const { ui } = lab;
  const name = part.rois ? ui.t("rois", { part: ui.t(part.name), count: part.rois }) : ui.t(part.name);
  return make("div", { style: "min-width:0" }, make("p", { class: "mw-caption", style: "font-weight:650" }, name),
    ...part.steps.map((step, s) => {
      const shape = by(step.outputs[0]);
      const last = step.outputs[step.outputs.length - 1];
      const more = step.outputs.length > 1 ? ` … ${by(last.slice(1))}` : "";
      const label = ui.t("step_label", { part: ui.t(part.name), step: step.name, shape: shape + more,
        parameters: lab.large(step.trainable + step.frozen), macs: lab.large(step.macs) });
      return make("button", { type: "button", class: "mw-step", "aria-label": label, "data-step": `${p}.${s}`,
        click: () => ui.set({ step: [p, s] }) },
      make("span", {}, step.name), make("span", { class: "mw-quiet" }, shape + more),
      make("span", { class: "mw-bar-of", "aria-hidden": "true" }));
    }));
}

function paint(lab, button, state) {
  const [p, s] = button.dataset.step.split(".").map(Number);
  const step = lab.network.parts[p].steps[s];
  const isChosen = lab.chosen(state).step === step;
  button.setAttribute("aria-pressed", isChosen);
  button.style.boxShadow = isChosen ? `inset 0 0 0 .15em ${lab.ui.ink.blue}` : "none";
  const share = costOf(step, state.bars) / lab.sums.most(state.bars);
  button.lastElementChild.style.width = `${100 * share}%`;
}

function levels(lab) {
  // A box on the picture, its level, and the levels' grids as they get coarser.
  const { ui } = lab;
  const size = () => lab.network.input; // [H, W]
  const isFPN = () => lab.network.parts.some((part) => part.name === "FPN");
  const on = surface(ui, {
    label: ({ box }) => {
      const { w, h, index } = pyramidLevel(box);
      return ui.t("picture_label", { w: number(w), h: number(h), level: isFPN() ? `P${index + 2}` : "C4" });
    },
    draw: (context, width, height, { box }) => {
      const scale = width / size()[1];
      const stride = isFPN() ? STRIDES[pyramidLevel(box).index] : 16;
      context.fillStyle = ui.ink.panel;
      context.fillRect(0, 0, width, height);
      for (let at = 0; at <= size()[1]; at += stride) {
        if (stride * scale < 3) break;
        line(context, ui, at * scale, 0, at * scale, height, ui.ink.line, 0.8);
        line(context, ui, 0, at * scale, width, at * scale, ui.ink.line, 0.8);
      }
      outline(context, ui, box.map((v) => v * scale), ui.ink.blue, { width: 3 });
    },
  });
  boxHandles(ui, on, { name: ui.t("box"), extent: () => [size()[1], size()[0]], snap: 4, least: 16,
    colour: () => ui.ink.blue, get: (state) => state.box, set: (box) => ui.set({ box }) });
  const pyramid = surface(ui, {
    ratio: 1.55,
    label: ({ box }) => ui.t("cropped_from", { level: isFPN() ? `P${pyramidLevel(box).index + 2}` : "C4" }),
    draw: (context, width, height, { box }) => {
      const { index } = pyramidLevel(box);
      const rows = isFPN() ? [3, 2, 1, 0] : [2];
      const high = height / 4;
      rows.forEach((k, n) => { // slanted maps, the coarsest on top
        const y = isFPN() ? n * high : 1.5 * high;
        const [cells, used] = [2 ** (5 - k), !isFPN() || k === index];
        const at = (u, v) => [(0.16 + 0.12 * (1 - v) + 0.6 * u) * width, y + (0.12 + 0.7 * v) * high];
        const colour = used ? ui.ink.blue : ui.ink.line;
        for (let c = 0; c <= cells; c++) {
          line(context, ui, ...at(c / cells, 0), ...at(c / cells, 1), colour, used ? 1 : 0.7);
          line(context, ui, ...at(0, c / cells), ...at(1, c / cells), colour, used ? 1 : 0.7);
        }
        const name = isFPN() ? `P${k + 2}` : "C4";
        const look = { size: 15, weight: used ? 650 : 400, colour: used ? ui.ink.ink : ui.ink.quiet };
        text(context, ui, name, 0.06 * width, y + 0.5 * high, look);
        if (used) { // the box on its level
          const [x1, y1, x2, y2] = box.map((v, side) => v / size()[side % 2 ? 0 : 1]);
          context.fillStyle = ui.ink.orange;
          context.globalAlpha = 0.7;
          context.beginPath();
          context.moveTo(...at(x1, y1));
          for (const [u, v] of [[x2, y1], [x2, y2], [x1, y2]]) context.lineTo(...at(u, v));
          context.fill();
          context.globalAlpha = 1;
        }
      });
    },
  });
  const words = ({ box }) => {
    const { w, h, exact, k, index } = pyramidLevel(box);
    const stride = isFPN() ? STRIDES[index] : 16;
    const covered = { w: number(w), h: number(h), cw: number(w / stride, 1), ch: number(h / stride, 1), stride };
    if (!isFPN()) return ui.t("level_c4", covered);
    const clamped = k === index + 2 ? "" : ui.t("clamped");
    return ui.t("level_fpn", { ...covered, exact: number(exact), k, level: index + 2, clamped });
  };
  const title = reading(ui, "picture", () => ui.t("picture", { width: size()[1], height: size()[0] }),
    { class: "mw-caption mw-quiet", style: "margin-top:.7em" });
  return make("div", {}, title, make("div", { class: "mw-levels" }, on, pyramid,
    reading(ui, "level", words, { class: "mw-read", style: "min-height:7.5em" })));
}
export default { render };
