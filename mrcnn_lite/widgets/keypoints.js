// The keypoint lab: a joint's one-hot target, the softmax loss of a heat map, the point that is decoded, and its OKS.

const IMAGE = 256; // pixels a side
const SIGMAS = { eye: 0.025, wrist: 0.062, hip: 0.107 }; // COCO's
const FILLED = 0.53; // of its box a person covers about so much (COCO's own estimate where there is no mask)

export function heatmap({ box: [x1, y1, x2, y2], peak, side, sure }) {
  // The network's logits: a hill of height `sure` over the peak's cell. WHY the cell: from one-hot targets a network
  // learns no more than that.
  const cellOf = (at, low, high) => clamp(Math.floor(((at - low) / (high - low)) * side), 0, side - 1);
  const [px, py] = [cellOf(peak[0], x1, x2), cellOf(peak[1], y1, y2)];
  return Array.from({ length: side * side }, (_, cell) => {
    const [dx, dy] = [(cell % side) - px, Math.floor(cell / side) - py];
    return sure * Math.exp(-(dx * dx + dy * dy) / 3);
  });
}

export function read_out(state) {
  // Everything on screen: cell, logits, probabilities, loss, decoded point, its distance and OKS.
  const { box, joint, side, kind, half_pixel } = state;
  const cell = encodeHeatmap(joint, box, side);
  const logits = heatmap(state);
  const { loss, probs } = crossEntropy(logits, Math.max(cell, 0));
  const decoded = decodeHeatmap(logits, side, box, half_pixel ? 0.5 : 0);
  const distance = Math.hypot(decoded[0] - joint[0], decoded[1] - joint[1]);
  const covered = FILLED * (box[2] - box[0]) * (box[3] - box[1]);
  return { cell, logits, loss, probs, decoded, distance, covered, similarity: oks(distance, covered, SIGMAS[kind]) };
}

export function render({ model, el }) {
  return frame({ model, el }, (ui) => {
    const lab = { ui, now: null };
    ui.prepare = (state) => (lab.now = read_out(state));
    lab.said = (point) => point.map((v) => number(v, 1)).join(", ");
    const key = (name, colour, sign) => make("span", { style: "white-space:nowrap" },
      make("span", { style: `color:var(--${colour});font-weight:650`, "aria-hidden": "true" }, `${sign} `), ui.t(name));
    const captioned = (words, on) => make("div", { style: "min-width:0" },
      reading(ui, words[0], words[1], { class: "mw-caption mw-quiet" }), on);
    return [
      make("div", { class: "mw-row" },
        choice(ui, "side", ui.t("side"), SPEC.choices.side.map((side) => `${side} × ${side}`)),
        choice(ui, "kind", ui.t("kind"), SPEC.choices.kind.map((kind) => ui.t(kind))),
        toggle(ui, "half_pixel", ui.t("half_pixel"))),
      make("div", { class: "mw-row" },
        slider(ui, "sure", ui.t("sure"), { min: 0, max: 15, step: 0.5 }),
        key("joint", "blue", "●"), key("peak", "orange", "●"), key("decoded", "green", "✕")),
      make("div", { class: "mw-grid", style: "grid-template-columns:minmax(0,1.25fr) minmax(0,2fr)" }, picture(lab),
        make("div", { style: "display:grid;gap:.8em;grid-template-columns:repeat(2,minmax(0,1fr))" },
          captioned(["target", () => ui.t("target")], maps(lab, "target")),
          captioned(["softmax", ({ side }) => ui.t("softmax", { count: side * side })], maps(lab, "softmax")))),
      reading(ui, "formula", (state) => formula(lab, state), { class: "mw-read", tabindex: 0, role: "region",
        "aria-label": ui.t("formula"), style: "margin-top:.7em;--high:7.4em;--long:15em" }),
    ];
  });
}

function person(context, ui) {
  // In image pixels, greys only.
  const stroke = (width, ...points) => {
    context.lineWidth = width;
    context.lineCap = "round";
    context.beginPath();
    points.forEach(([x, y], n) => (n ? context.lineTo(x, y) : context.moveTo(x, y)));
    context.stroke();
  };
  context.fillStyle = mix(ui.ink.low, ui.ink.high, 0.12);
  context.fillRect(0, 0, IMAGE, IMAGE);
  context.fillStyle = context.strokeStyle = mix(ui.ink.low, ui.ink.high, 0.7);
  context.beginPath();
  context.ellipse(130, 46, 20, 23, 0, 0, 2 * Math.PI);
  context.fill();
  stroke(38, [130, 92], [130, 142]);
  stroke(17, [116, 86], [92, 118], [84, 154]);
  stroke(17, [144, 86], [178, 122], [168, 96]);
  stroke(20, [121, 150], [112, 192], [108, 230]);
  stroke(20, [139, 150], [150, 192], [154, 230]);
}

function picture(lab) {
  const { ui } = lab;
  const on = surface(ui, {
    label: ({ joint }) => ui.t("picture", { joint: lab.said(joint), decoded: lab.said(lab.now.decoded) }),
    draw: (context, width, height, { box, joint, side }) => {
      const s = width / IMAGE;
      context.save();
      context.scale(s, s);
      person(context, ui);
      context.restore();
      const [x1, y1, x2, y2] = box.map((v) => v * s);
      for (let k = 1; k < side && side <= 28; k++) { // the cells of the heat map
        const [x, y] = [x1 + (k * (x2 - x1)) / side, y1 + (k * (y2 - y1)) / side];
        line(context, ui, x, y1, x, y2, ui.ink.line, 1);
        line(context, ui, x1, y, x2, y, ui.ink.line, 1);
      }
      outline(context, ui, [x1, y1, x2, y2], ui.ink.ink, { width: 2 });
      const [x, y, r] = [...lab.now.decoded.map((v) => v * s), 11 * ui.u];
      line(context, ui, x, y, joint[0] * s, joint[1] * s, ui.ink.green, 2, [4, 3]);
      for (const [colour, thick] of [[ui.ink.paper, 6], [ui.ink.green, 3.5]]) {
        line(context, ui, x - r, y - r, x + r, y + r, colour, thick);
        line(context, ui, x - r, y + r, x + r, y - r, colour, thick);
      }
    },
  });
  boxHandles(ui, on, { name: ui.t("box"), extent: () => [IMAGE, IMAGE], snap: 1, least: 20, colour: () => ui.ink.ink,
    get: (state) => state.box, set: (box) => ui.set({ box }) });
  for (const [key, colour] of [["peak", "orange"], ["joint", "blue"]]) {
    handle(ui, on, {
      label: (state) => ui.t("handle", { name: ui.t(key), x: number(state[key][0]), y: number(state[key][1]) }),
      place: (state) => state[key].map((v) => v / IMAGE),
      step: () => [1 / IMAGE, 1 / IMAGE],
      move: (dx, dy, from) =>
        ui.set({ [key]: [dx, dy].map((by, k) => clamp(Math.round(from[key][k] + by * IMAGE), 0, IMAGE)) }),
      dot: true,
      colour: () => ui.ink[colour],
    });
  }
  return on;
}

function maps(lab, which) {
  const { ui } = lab;
  const oneHot = () => lab.now.probs.map((_, k) => (k === lab.now.cell ? 1 : 0));
  const values = () => (which === "softmax" ? lab.now.probs : oneHot());
  return surface(ui, {
    label: ({ side }) => {
      if (which === "target" && lab.now.cell < 0) return ui.t("no_target");
      const all = values();
      const best = all.indexOf(Math.max(...all));
      const where = { row: Math.floor(best / side) + 1, column: (best % side) + 1, side };
      return ui.t(`${which}_label`, { ...where, value: number(all[best], 3) });
    },
    draw: (context, width, height, { side }) => {
      const all = values();
      const colour = rgb(which === "softmax" ? ui.ink.orange : ui.ink.blue);
      const most = Math.max(...all, 1e-9);
      const paint = (i, j) => mix(ui.ink.low, colour, (0.75 * all[i * side + j]) / most);
      const words = (i, j) => (all[i * side + j] >= 0.005 ? number(all[i * side + j]).replace("0.", ".") : "");
      cells(context, ui, width, height, side, side, paint, words);
      outline(context, ui, [0.5, 0.5, width - 0.5, height - 0.5], ui.ink.line, { width: 1, halo: false });
      if (which === "softmax" && lab.now.cell >= 0) { // where the target is
        const w = width / side;
        const [x, y] = [(lab.now.cell % side) * w, Math.floor(lab.now.cell / side) * w];
        outline(context, ui, [x, y, x + w, y + w], ui.ink.blue, { width: 2.5 });
      }
    },
  });
}

function formula(lab, state) {
  const { ui, now } = lab;
  const { box: [x1, y1, x2, y2], joint: [x, y], side, kind } = state;
  const { cell } = now;
  const parts = { x, y, x1, y1, w: x2 - x1, h: y2 - y1, side, cell, column: cell % side, row: Math.floor(cell / side) };
  const count = side * side;
  const guess = number(Math.log(count), 3);
  const loss = { cell, p: number(now.probs[cell] ?? 0, 4), loss: number(now.loss, 3), count, guess };
  const [dx, dy] = now.decoded.map((v) => number(v, 1));
  const distance = number(now.distance, 2);
  const sigma = SIGMAS[kind];
  return [
    ...(cell < 0 ? [ui.t("f_none")] : [ui.t("f_target", parts), ui.t("f_loss", loss)]),
    ui.t("f_decoded", { x: dx, y: dy, distance }),
    ui.t("f_oks", { distance, area: number(now.covered, 0), k: number(2 * sigma, 3), sigma,
      value: number(now.similarity, 3) }),
  ].join("\n");
}
export default { render };
