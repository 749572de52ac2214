// The pipeline X-ray: a recorded detection on its way from anchor to proposal to box to crop to mask.

const IMAGE = 128; // pixels a side
const STAGES = ["anchor", "proposal", "box", "crop", "mask"];
const COLOURS = { anchor: "purple", proposal: "orange", box: "blue", crop: "blue", mask: "green" };

export function valuesOf({ low, high, values }) {
  // A recorded map: a byte a cell.
  const bytes = Uint8Array.from(atob(values), (letter) => letter.charCodeAt(0));
  return Array.from(bytes, (byte) => low + ((high - low) * byte) / 255);
}

export function boxAt(detection, weights, stage) {
  // Between two stages part of the deltas is applied: at 0 the anchor, at 1 the proposal, from 2 on the box.
  if (stage >= 2) return detection.box;
  const [from, deltas] = stage < 1 ? [detection.anchor, detection.rpn_deltas]
    : [detection.proposal, detection.box_deltas.map((delta, k) => delta / weights[k])];
  const part = stage % 1;
  return decode(from, deltas.map((delta) => part * delta)).map((side) => Math.min(Math.max(side, 0), IMAGE));
}

export function pixelsOf(detection, threshold) {
  // Which pixels of the picture the mask covers, row by row.
  const [mask, side] = [valuesOf(detection.mask), detection.mask.width];
  return Array.from({ length: IMAGE * IMAGE }, (_, at) =>
    pasteAt(mask, side, detection.box, (at % IMAGE) + 0.5, Math.floor(at / IMAGE) + 0.5) > threshold);
}

export function render({ model, el }) {
  return frame({ model, el }, (ui) => {
    const { detections, classes, weights } = ui.data;
    const lab = { ui, now: null, key: "" };
    lab.picture = new Image();
    lab.picture.onload = ui.soon;
    lab.picture.src = ui.data.picture;
    ui.prepare = ({ detection, threshold }) => {
      const key = `${detection} ${threshold}`; // the mask is pasted again only when it is another
      if (lab.key === key) return;
      lab.key = key;
      lab.now = detections[clamp(detection, 0, detections.length - 1)];
      lab.pixels = pixelsOf(lab.now, threshold);
      lab.mask = valuesOf(lab.now.mask);
      lab.crop = valuesOf(lab.now.crop);
    };
    lab.box = ({ stage }) => boxAt(lab.now, weights, stage);
    lab.said = (box) => box.map((v) => number(v, 1)).join(", ");
    lab.stage = ({ stage }) => ui.t(STAGES[Math.round(stage)]);
    const names = detections.map(({ label, score }) => `${classes[label]} ${score.toFixed(2)}`);
    const formula = ({ threshold }) => {
      const { level, objectness, rpn_deltas, box_deltas, scores } = lab.now;
      const list = (values) => values.map((v) => number(v)).join(", ");
      const best = scores.map((score, k) => [score, classes[k]]).sort((a, b) => b[0] - a[0]).slice(0, 3);
      const place = Object.fromEntries(["anchor", "proposal", "box"].map((name) => [name, lab.said(lab.now[name])]));
      return [
        ui.t("f_anchor", { ...place, level, objectness: number(objectness) }),
        ui.t("f_proposal", { ...place, deltas: list(rpn_deltas) }),
        ui.t("f_box", { ...place, deltas: list(box_deltas), weights: list(weights) }),
        ui.t("f_label", { list: best.map(([score, name]) => `${name} ${score.toFixed(2)}`).join(", ") }),
        ui.t("f_mask", { count: lab.pixels.filter(Boolean).length, threshold: number(threshold) }),
      ].join("\n");
    };
    const head = (key) => ui.t(`${key}_head`, { side: lab.now[key].width });
    const captioned = (key, which) => make("div", { style: "min-width:0" },
      reading(ui, `${key}-head`, () => head(key), { class: "mw-caption mw-quiet" }), which);
    return [
      make("div", { class: "mw-row" }, choice(ui, "detection", ui.t("detection"), names, detections.map((_, n) => n)),
        slider(ui, "threshold", ui.t("threshold"), { min: 0.1, max: 0.9, step: 0.05 })),
      make("div", { class: "mw-grid", style: "grid-template-columns:minmax(0,1fr) minmax(0,1.2fr)" },
        make("div", {}, picture(lab), track(lab)),
        make("div", { style: "display:grid;gap:.8em;min-width:0" },
          make("div", { style: "display:grid;gap:.8em;grid-template-columns:repeat(2,minmax(0,1fr))" },
            captioned("crop", map(lab, "crop")), captioned("mask", map(lab, "mask"))),
          reading(ui, "formula", formula, { class: "mw-read", style: "--high:13.4em;--long:18em", tabindex: 0,
            role: "region", "aria-label": ui.t("formula") }))),
    ];
  });
}

function picture(lab) {
  const { ui } = lab;
  return surface(ui, {
    label: (state) => ui.t("picture_label",
      { label: ui.data.classes[lab.now.label], box: lab.said(lab.box(state)), stage: lab.stage(state) }),
    draw: (context, width, height, state) => {
      const scale = width / IMAGE;
      const place = (box) => box.map((v) => v * scale);
      context.fillStyle = ui.ink.panel;
      context.fillRect(0, 0, width, height);
      context.imageSmoothingEnabled = false; // pixels are pixels
      if (lab.picture.complete) context.drawImage(lab.picture, 0, 0, width, height);
      if (state.stage > 3.5) { // the mask, as far as the marker has gone
        context.fillStyle = ui.ink.paper;
        context.globalAlpha = 0.75 * clamp(2 * (state.stage - 3.5), 0, 1);
        const edge = (k) => Math.round(k * scale);
        lab.pixels.forEach((inside, at) => {
          const [j, i] = [at % IMAGE, Math.floor(at / IMAGE)];
          if (!inside) context.fillRect(edge(j), edge(i), edge(j + 1) - edge(j), edge(i + 1) - edge(i));
        });
        context.globalAlpha = 1;
      }
      for (const name of ["anchor", "proposal"]) {
        const passed = state.stage >= STAGES.indexOf(name);
        if (passed) outline(context, ui, place(lab.now[name]), ui.ink[COLOURS[name]], { width: 2.5, dash: [7, 4] });
      }
      outline(context, ui, place(lab.box(state)), ui.ink.blue, { width: 3.5 });
    },
  });
}

function track(lab) {
  // The way from anchor to mask, with a marker to drag.
  const { ui } = lab;
  const at = (stage) => 0.08 + (0.84 * stage) / (STAGES.length - 1);
  const on = surface(ui, {
    ratio: 7,
    label: () => ui.t("stages"),
    draw: (context, width, height, { stage }) => {
      const y = 0.36 * height;
      line(context, ui, at(0) * width, y, at(STAGES.length - 1) * width, y, ui.ink.line, 4);
      line(context, ui, at(0) * width, y, at(stage) * width, y, ui.ink.blue, 4);
      STAGES.forEach((name, n) => {
        dot(context, ui, at(n) * width, y, 5.5, ui.ink[n <= stage ? COLOURS[name] : "line"]); // the colours' legend
        const weight = Math.round(stage) === n ? 650 : 400;
        text(context, ui, ui.t(name), at(n) * width, 0.82 * height, { size: 13, weight, most: 0.24 * width });
      });
    },
  });
  handle(ui, on, {
    label: (state) => ui.t("marker", { stage: lab.stage(state) }),
    place: ({ stage }) => [at(stage), 0.36],
    step: () => [0.021, 0.021],
    move: (dx, dy, from, byKey) => {
      const stage = from.stage + ((byKey ? dx - dy : dx) / 0.84) * (STAGES.length - 1);
      ui.set({ stage: clamp(Math.round(stage * 100) / 100, 0, STAGES.length - 1) });
    },
    dot: true,
  });
  return on;
}

function map(lab, key) {
  const { ui } = lab;
  return surface(ui, {
    label: ({ threshold }) => ui.t(`${key}_label`, { side: lab.now[key].width, threshold: number(threshold),
      count: lab.mask.filter((value) => value > threshold).length }),
    draw: (context, width, height, { stage, threshold }) => {
      const { width: side, low, high } = lab.now[key];
      const values = lab[key];
      const grey = (at) => mix(ui.ink.low, ui.ink.high, (values[at] - low) / (high - low || 1));
      const strength = (value) => (value > threshold ? 0.3 + 0.6 * value : 0.1 * value);
      const green = (at) => mix(ui.ink.low, rgb(ui.ink.green), strength(values[at]));
      context.globalAlpha = stage < (key === "crop" ? 2.5 : 3.5) ? 0.35 : 1; // not there yet
      cells(context, ui, width, height, side, side, (i, j) => (key === "crop" ? grey : green)(i * side + j));
      context.globalAlpha = 1;
      outline(context, ui, [1, 1, width - 1, height - 1], key === "crop" ? ui.ink.blue : ui.ink.green, { halo: false });
    },
  });
}
export default { render };
