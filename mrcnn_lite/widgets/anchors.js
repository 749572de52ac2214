// Anchors and matching: drag an object and see which anchors turn positive, ignored and negative.

const IMAGE = 256; // pixels a side
const RATIOS = [0.5, 1, 2]; // height / width
const SHAPES = ["wide", "square", "tall"]; // the same three by name
const LABELS = ["positive", "ignored", "negative"];
const MARKS = { positive: "green", ignored: "orange", negative: "quiet" };

export function matching({ object, stride, anchor, fg, bg, best }) {
  // All anchors, their IoU with the object, their label, and the order of their IoUs, best first.
  const cells = IMAGE / stride;
  const anchors = gridAnchors(cellAnchors([anchor], RATIOS), cells, cells, stride);
  const overlap = anchors.map((other) => iou(other, object));
  const matched = match([object], anchors, fg, Math.min(bg, fg), best);
  const labels = matched.map((number) => (number >= 0 ? "positive" : number === IGNORED ? "ignored" : "negative"));
  const count = (label) => labels.filter((other) => other === label).length;
  const counts = Object.fromEntries(LABELS.map((label) => [label, count(label)]));
  return { cells, anchors, overlap, labels, counts, order: byScore(overlap) };
}

export function chosen({ shape, cell }, { cells, order }) {
  // The number of the anchor that is looked at: the best, or one of the three at a grid point.
  if (shape === "best") return order[0];
  const [i, j] = cell.map((k) => clamp(k, 0, cells - 1));
  return (i * cells + j) * RATIOS.length + SHAPES.indexOf(shape);
}

export function render({ model, el }) {
  return frame({ model, el }, (ui) => {
    const lab = { ui, now: null };
    ui.prepare = (state) => (lab.now = matching(state));
    lab.said = (box) => box.map((v) => number(v, 1)).join(", ");
    const percent = { min: 0.1, max: 0.9, step: 0.05 };
    const title = reading(ui, "picture", () => ui.t("picture", { count: lab.now.anchors.length }),
      { class: "mw-caption mw-quiet" });
    return [
      make("div", { class: "mw-row" }, choice(ui, "stride", ui.t("stride")),
        choice(ui, "anchor", ui.t("anchor")), toggle(ui, "best", ui.t("best"))),
      make("div", { class: "mw-row" }, slider(ui, "fg", ui.t("fg"), percent), slider(ui, "bg", ui.t("bg"), percent),
        choice(ui, "shape", ui.t("shape"), SPEC.choices.shape.map((shape) => ui.t(`shape_${shape}`)))),
      make("div", { class: "mw-grid", style: "grid-template-columns:minmax(0,1.08fr) minmax(0,1fr)" },
        make("div", {}, title, picture(lab)),
        make("div", { style: "display:grid;gap:.6em;min-width:0" }, counters(lab),
          make("div", {}, make("p", { class: "mw-caption mw-quiet" }, ui.t("row")), bars(lab)),
          reading(ui, "formula", (state) => formula(lab, state), { class: "mw-read", style: "--high:12.2em",
            tabindex: 0, role: "region", "aria-label": ui.t("formula") }))),
    ];
  });
}

function mark(context, ui, label, x, y, size) {
  // Shape and colour both tell: a full disc, a ring, a small cross.
  const colour = ui.ink[MARKS[label]];
  if (label === "negative") {
    line(context, ui, x - 2 * ui.u, y, x + 2 * ui.u, y, colour, 1);
    line(context, ui, x, y - 2 * ui.u, x, y + 2 * ui.u, colour, 1);
    return;
  }
  context.beginPath();
  context.arc(x, y, size * ui.u, 0, 2 * Math.PI);
  context.lineWidth = 2.4 * ui.u;
  context.strokeStyle = colour;
  context.fillStyle = label === "positive" ? colour : ui.ink.paper;
  context.fill();
  context.stroke();
}

function picture(lab) {
  const { ui } = lab;
  const on = surface(ui, {
    label: (state) => ui.t("map", { ...lab.now.counts, count: lab.now.anchors.length, object: lab.said(state.object) }),
    draw: (context, width, height, state) => {
      const { anchors, labels, cells } = lab.now;
      const place = (box) => box.map((v) => (v / IMAGE) * width);
      context.fillStyle = ui.ink.panel;
      context.fillRect(0, 0, width, height);
      const [x1, y1, x2, y2] = place(state.object);
      context.fillStyle = mix(ui.ink.low, ui.ink.high, 0.55);
      context.beginPath();
      context.ellipse((x1 + x2) / 2, (y1 + y2) / 2, (x2 - x1) / 2, (y2 - y1) / 2, 0, 0, 2 * Math.PI);
      context.fill();
      anchors.forEach((anchor, k) => {
        if (labels[k] === "positive") outline(context, ui, place(anchor), ui.ink.green, { width: 1, halo: false });
      });
      outline(context, ui, [x1, y1, x2, y2], ui.ink.blue, { width: 3 });
      const look = chosen(state, lab.now);
      outline(context, ui, place(anchors[look]), ui.ink[MARKS[labels[look]]], { width: 3, dash: [6, 4] });
      for (let at = 0; at < cells * cells; at++) {
        const three = labels.slice(3 * at, 3 * at + 3);
        const label = LABELS.find((name) => three.includes(name)); // the best that one of the three is
        const centre = place([((at % cells) + 0.5) * state.stride, (Math.floor(at / cells) + 0.5) * state.stride]);
        mark(context, ui, label, ...centre, state.stride === 8 ? 2.4 : 4);
      }
      const [ax, ay] = [0, 1].map((k) => ((anchors[look][k] + anchors[look][k + 2]) / 2 / IMAGE) * width);
      line(context, ui, ax, ay, (x1 + x2) / 2, (y1 + y2) / 2, ui.ink.ink, 2);
      dot(context, ui, (x1 + x2) / 2, (y1 + y2) / 2, 3, ui.ink.blue);
    },
  });
  const pick = handle(ui, on, { // the whole picture: grid points
    place: () => [0, 0, 1, 1],
    step: () => [1, 1],
    label: ({ cell }) => ui.t("pick", { row: cell[0] + 1, column: cell[1] + 1 }),
    tap: (x, y, from) => {
      const { cells } = lab.now;
      const at = from ? [from.cell[0] + y, from.cell[1] + x] : [Math.floor(y * cells), Math.floor(x * cells)];
      const shape = ui.state.shape === "best" ? "square" : ui.state.shape;
      ui.set({ cell: at.map((k) => clamp(k, 0, cells - 1)), shape });
    },
  });
  pick.style.cursor = "crosshair";
  boxHandles(ui, on, { name: ui.t("object"), extent: () => [IMAGE, IMAGE], snap: 1, least: 4, colour: () => ui.ink.blue,
    get: (state) => state.object, set: (object) => ui.set({ object }) });
  return on;
}

function counters(lab) {
  const { ui } = lab;
  const one = (label) => {
    const sign = { positive: "●", ignored: "○", negative: "+" }[label];
    return make("div", { style: "background:var(--panel);border-radius:.4em;padding:.35em .6em;line-height:1.25" },
      reading(ui, label, () => `${lab.now.counts[label]}`, { style: "font-size:1.6em;font-weight:650" }),
      make("span", { style: `color:var(--${MARKS[label]})`, "aria-hidden": "true" }, `${sign} `), ui.t(label));
  };
  const three = "display:grid;gap:.5em;grid-template-columns:repeat(3,minmax(0,1fr))";
  return make("div", { style: three }, ...LABELS.map(one));
}

function bars(lab) {
  // The row of the IoU matrix that belongs to the object, cut after its largest twelve entries.
  const { ui } = lab;
  const most = 12;
  const list = () => lab.now.order.slice(0, most);
  return surface(ui, {
    ratio: 2.3,
    label: () => ui.t("row_label", { values: list().map((k) => number(lab.now.overlap[k])).join(", ") }),
    draw: (context, width, height, state) => {
      const left = 30 * ui.u;
      const y = (value) => height - 4 - value * (height - 16 * ui.u);
      const step = (width - left) / most;
      for (const value of [0, 1]) line(context, ui, left, y(value), width, y(value), ui.ink.line, 1);
      list().forEach((k, n) => {
        const [x, value] = [left + n * step, lab.now.overlap[k]];
        context.fillStyle = ui.ink[MARKS[lab.now.labels[k]]];
        context.fillRect(x + 2, y(value), step - 4, y(0) - y(value));
      });
      for (const [value, colour] of [[state.fg, "green"], [Math.min(state.bg, state.fg), "quiet"]]) {
        line(context, ui, left, y(value), width, y(value), ui.ink[colour], 2, [6, 4]);
        text(context, ui, number(value), left - 4, y(value), { size: 12, align: "right" });
      }
      list().forEach((k, n) => { // over the lines, on paper
        const [x, value] = [left + (n + 0.5) * step, lab.now.overlap[k]];
        const words = value.toFixed(2).replace(/^0/, ""); // ".82": bars are narrow
        const [wide, high] = [Math.min(22 * ui.u, step), 12 * ui.u];
        context.fillStyle = ui.ink.paper;
        context.fillRect(x - wide / 2, y(value) - 8 * ui.u - high / 2, wide, high);
        text(context, ui, words, x, y(value) - 8 * ui.u, { size: 12, most: step - 1 });
      });
    },
  });
}

function formula(lab, state) {
  const { ui, now: { anchors, overlap, labels } } = lab;
  const look = chosen(state, lab.now);
  const [anchor, { object }] = [anchors[look], state];
  const side = (box, k) => box[k + 2] - box[k];
  const centre = (box, k) => number((box[k] + box[k + 2]) / 2, 1);
  const size = (box) => ({ box: lab.said(box), w: number(side(box, 0), 1), h: number(side(box, 1), 1) });
  const deltas = encode(anchor, object).map((delta) => number(delta, 3));
  const byRule = labels[look] === "positive" && overlap[look] < state.fg;
  const found = { iou: number(overlap[look], 3), label: ui.t(byRule ? "by_rule" : labels[look]) };
  const lines = [ui.t("f_anchor", { ...size(anchor), ...found }), ui.t("f_object", size(object))];
  ["x", "y"].forEach((axis, k) => lines.push(ui.t("f_centre", { axis, object: centre(object, k),
    anchor: centre(anchor, k), side: number(side(anchor, k), 1), value: deltas[k] })));
  ["w", "h"].forEach((axis, k) => lines.push(ui.t("f_side", { axis, object: number(side(object, k), 1),
    anchor: number(side(anchor, k), 1), value: deltas[k + 2] })));
  return lines.join("\n");
}
export default { render };
