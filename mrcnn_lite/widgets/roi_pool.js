// RoIPool's two roundings: what is asked for, and what is read, in the picture, on a ruler, and in image pixels.

const IMAGE = 256; // pixels a side
const EDGES = ["x1", "y1", "x2", "y2"];

export function roundings({ box, stride, side }) {
  // In image pixels: the box after the first rounding, and for every bin what is asked for and what is read.
  const cells = IMAGE / stride;
  const map = { height: cells, width: cells, values: new Array(cells * cells).fill(0) };
  const [width, height] = [(box[2] - box[0]) / side, (box[3] - box[1]) / side];
  const bins = roiPool(map, box, side, 1 / stride).map(({ rectangle }, b) => {
    const [x, y] = [box[0] + (b % side) * width, box[1] + Math.floor(b / side) * height];
    const empty = rectangle[0] >= rectangle[2] || rectangle[1] >= rectangle[3];
    return { asked: [x, y, x + width, y + height], read: rectangle.map((v) => v * stride), empty };
  });
  return { snapped: snapToCells(box, 1 / stride).map((v) => v * stride), bins };
}

export function render({ model, el }) {
  return frame({ model, el }, (ui) => {
    const lab = { ui, now: null };
    ui.prepare = (state) => (lab.now = roundings(state));
    lab.bin = ({ bin, side }) => clamp(bin[0], 0, side - 1) * side + clamp(bin[1], 0, side - 1);
    lab.onMap = () => lab.now.snapped.map((v) => clamp(v, 0, IMAGE)); // the part of the read box that exists
    lab.said = (box) => box.map((v) => number(v, 1)).join(", ");

    const fields = EDGES.map((name, k) => numberField(ui, name, (state) => state.box[k], (value) => {
      const box = ui.state.box.map((v, n) => (n === k ? value : v));
      if (box[2] - box[0] >= 1 && box[3] - box[1] >= 1) ui.set({ box });
    }, { min: 0, max: IMAGE, step: 0.5 }));
    const size = (state) => ({ image: IMAGE, cells: IMAGE / state.stride });
    const title = reading(ui, "picture", (state) => ui.t("picture", size(state)), { class: "mw-caption mw-quiet" });
    const head = (key, colour) => make("p", { class: "mw-caption" },
      make("span", { class: "mw-mark", style: `background:var(--${colour})` }), ui.t(key));
    const two = "display:grid;gap:.35em .8em;grid-template-columns:repeat(2,minmax(0,1fr))";
    return [
      make("div", { class: "mw-row" }, choice(ui, "stride", ui.t("stride")),
        choice(ui, "side", ui.t("side")), choice(ui, "axis", ui.t("axis"))),
      make("div", { class: "mw-grid", style: "grid-template-columns:minmax(0,1fr) minmax(0,1.18fr)" },
        make("div", {}, title, pictureSurface(lab),
          make("div", { class: "mw-row mw-tight" }, make("span", {}, ui.t("pixels")), ...fields)),
        make("div", { style: "display:grid;gap:.6em;min-width:0" },
          make("div", { style: two }, make("div", {}, head("asked", "blue"), cropSurface(lab, "asked")),
            make("div", {}, head("read", "red"), cropSurface(lab, "read"))),
          rulerSurface(lab))),
      reading(ui, "formula", (state) => formula(lab, state), { class: "mw-read", tabindex: 0, role: "region",
        "aria-label": ui.t("formula"), style: "margin-top:.7em;--high:13.3em;--long:22.5em" }),
    ];
  });
}

function house(context, ink) {
  // The object, in image pixels: greys only, so that the boxes stand out.
  const grey = (t) => mix(ink.low, ink.high, t);
  const fill = (t, ...points) => {
    context.fillStyle = grey(t);
    context.beginPath();
    points.forEach(([x, y], k) => (k ? context.lineTo(x, y) : context.moveTo(x, y)));
    context.fill();
  };
  const block = (t, x, y, w, h) => fill(t, [x, y], [x + w, y], [x + w, y + h], [x, y + h]);
  block(0.12, 0, 0, IMAGE, IMAGE);
  block(0.35, 0, 160, IMAGE, 96);
  block(0.95, 150, 52, 14, 36);
  block(0.6, 68, 96, 106, 70);
  fill(0.95, [59, 98], [121, 42], [183, 98]);
  block(1.1, 102, 122, 22, 44);
  for (const [x, y] of [[78, 110], [136, 110], [136, 136]]) block(0, x, y, 18, 16);
  fill(0.85, [226, 190], [238, 150], [250, 190]); // a tree at the border
  block(1.1, 235, 190, 6, 14);
}

function pictureSurface(lab) {
  const { ui } = lab;
  const label = (state) => ui.t("picture_label", { box: lab.said(state.box), read: lab.said(lab.now.snapped) });
  const on = surface(ui, { label, draw: (context, width, height, state) => {
    const place = (box) => box.map((v) => (v / IMAGE) * width);
    context.save();
    context.scale(width / IMAGE, width / IMAGE);
    house(context, ui.ink);
    context.restore();
    for (let at = 0; at <= IMAGE; at += state.stride) {
      const where = (at / IMAGE) * width;
      line(context, ui, where, 0, where, height, ui.ink.line, 1);
      line(context, ui, 0, where, width, where, ui.ink.line, 1);
    }
    const bin = lab.now.bins[lab.bin(state)];
    for (const { read, empty } of lab.now.bins) {
      if (!empty) outline(context, ui, place(read), ui.ink.red, { width: 1, halo: false });
    }
    outline(context, ui, place(lab.now.snapped), ui.ink.red, { width: 2.5, dash: [7, 5] });
    outline(context, ui, place(state.box), ui.ink.blue, { width: 3 });
    outline(context, ui, place(bin.asked), ui.ink.blue, { width: 1.5 });
    if (!bin.empty) outline(context, ui, place(bin.read), ui.ink.red, { width: 3, dash: [4, 3] });
  } });
  boxHandles(ui, on, { name: ui.t("box"), extent: () => [IMAGE, IMAGE], colour: () => ui.ink.blue,
    get: (state) => state.box, set: (box) => ui.set({ box }) });
  return on;
}

function cropSurface(lab, which) {
  // The picture stretched so that the box, asked for or read, fills the square: what the head gets to see of it.
  const { ui } = lab;
  const box = (state) => (which === "asked" ? state.box : lab.onMap());
  const isEmpty = ([x1, y1, x2, y2]) => x1 >= x2 || y1 >= y2;
  const colour = () => (which === "asked" ? ui.ink.blue : ui.ink.red);
  const on = surface(ui, {
    label: (state) => ui.t(`crop_${which}`, { read: isEmpty(box(state)) ? ui.t("nothing") : lab.said(box(state)) }),
    draw: (context, width, height, state) => {
      const [x1, y1, x2, y2] = box(state);
      context.fillStyle = ui.ink.panel;
      context.fillRect(0, 0, width, height);
      if (isEmpty([x1, y1, x2, y2])) return text(context, ui, ui.t("nothing"), width / 2, height / 2, { most: width });
      context.save();
      context.beginPath();
      context.rect(0, 0, width, height);
      context.clip();
      context.scale(width / (x2 - x1), height / (y2 - y1));
      context.translate(-x1, -y1);
      house(context, ui.ink);
      context.restore();
      const place = ([a, b, c, d]) => [((a - x1) / (x2 - x1)) * width, ((b - y1) / (y2 - y1)) * height,
        ((c - x1) / (x2 - x1)) * width, ((d - y1) / (y2 - y1)) * height];
      const draw = (bin, how) => {
        if (which === "asked" || !bin.empty) outline(context, ui, place(bin[which]), colour(), how);
      };
      for (const bin of lab.now.bins) draw(bin, { width: 1, halo: false });
      draw(lab.now.bins[lab.bin(state)], { width: 3.5 });
    },
  });
  const button = handle(ui, on, {
    place: () => [0, 0, 1, 1],
    step: () => [1, 1],
    label: (state) => {
      const b = lab.bin(state);
      return ui.t("pick", { row: Math.floor(b / state.side) + 1, column: (b % state.side) + 1 });
    },
    tap: (x, y, from) => {
      const side = ui.state.side;
      const at = from ? [from.bin[0] + y, from.bin[1] + x] : [Math.floor(y * side), Math.floor(x * side)];
      ui.set({ bin: at.map((v) => clamp(v, 0, side - 1)) });
    },
  });
  button.style.cursor = "pointer";
  return on;
}

function rulerSurface(lab) {
  // One axis: equal bins; the rounded box; the rounded bins, two rows deep because neighbours may share cells.
  const { ui } = lab;
  const along = (state) => (state.axis === "x" ? 0 : 1);
  const pieces = (state, which) => {
    const { side } = state;
    const line = lab.now.bins.filter((_, b) => (state.axis === "x" ? b < side : b % side === 0));
    return line.map((bin) => ({ a: bin[which][along(state)], b: bin[which][along(state) + 2] }));
  };
  const list = (all) => all.map(({ a, b }) => `${number(a, 1)} – ${number(b, 1)}`).join(", ");
  return surface(ui, { ratio: 1.95,
    label: (state) =>
      ui.t("ruler", { axis: state.axis, asked: list(pieces(state, "asked")), read: list(pieces(state, "read")) }),
    draw: (context, width, height, state) => {
      const k = along(state);
      const chosen = state.axis === "x" ? lab.bin(state) % state.side : Math.floor(lab.bin(state) / state.side);
      const x = (pixels) => (pixels / IMAGE) * (width - 2) + 1;
      const row = height / 11.5;
      const end = 10.3 * row; // below stand the pixels
      for (let at = 0; at <= IMAGE; at += state.stride) line(context, ui, x(at), 0, x(at), end, ui.ink.line, 1);
      for (let at = 0; at <= IMAGE; at += 64) {
        const align = { 0: "left", [IMAGE]: "right" }[at] ?? "center";
        const words = at ? `${at}` : ui.t("ruler_start");
        text(context, ui, words, x(at), 10.95 * row, { size: 12, align, colour: ui.ink.quiet });
      }
      const words = (key, y) => {
        context.fillStyle = ui.ink.paper;
        context.fillRect(0, y - 0.62 * row, width, 1.24 * row);
        text(context, ui, ui.t(key), 2, y, { align: "left", size: 13, most: width });
      };
      const piece = ({ a, b }, y, colour, thick, dash = []) => {
        if (b <= a) return;
        outline(context, ui, [x(a), y, x(b), y + row], colour, { width: thick, dash, halo: false });
      };
      words("row_asked", 0.62 * row);
      pieces(state, "asked").forEach((bin, n) => piece(bin, 1.5 * row, ui.ink.blue, n === chosen ? 4 : 1.5));
      words("row_first", 3.6 * row);
      const [a, b] = [lab.now.snapped[k], lab.now.snapped[k + 2]];
      piece({ a, b }, 4.4 * row, ui.ink.red, 2.5, [7, 5]);
      words("row_second", 6.5 * row);
      const thick = (n) => (n === chosen ? 4 : 1.5);
      pieces(state, "read").forEach((bin, n) => piece(bin, (n % 2 ? 8.8 : 7.4) * row, ui.ink.red, thick(n)));
    } });
}

function formula(lab, state) {
  const { ui, now: { snapped, bins } } = lab;
  const [b, stride] = [lab.bin(state), state.stride];
  const lines = [ui.t("first", { stride })];
  EDGES.forEach((name, k) => {
    const cell = state.box[k] / stride;
    const parts = { name, stride, from: number(state.box[k], 1), cell: number(cell, 3), whole: snap(cell) };
    lines.push(ui.t("edge", { ...parts, to: number(snapped[k], 1), moved: signed(snapped[k] - state.box[k], 1) }));
  });
  lines.push(ui.t("second", { row: Math.floor(b / state.side) + 1, column: (b % state.side) + 1 }));
  const { asked, read, empty } = bins[b];
  ["x", "y"].forEach((name, k) => {
    const parts = { name, a: number(asked[k], 1), b: number(asked[k + 2], 1), c: read[k], d: read[k + 2] };
    const moved = (read[k] + read[k + 2] - asked[k] - asked[k + 2]) / 2;
    lines.push(ui.t(empty ? "empty" : "ends", { ...parts, moved: signed(moved, 1) }));
  });
  return lines.join("\n");
}
export default { render };
