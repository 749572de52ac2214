// The RoIAlign lab: one box on one feature map, cropped by RoIPool, RoIWarp and RoIAlign side by side.

const IMAGE = 128; // pixels a side, of the drawn maps as of the recorded picture
const OPS = SPEC.choices.op;
const COLOURS = { pool: "red", warp: "purple", align: "blue" };
const SIDES = ["x1", "y1", "x2", "y2"];

export function featureMap(state, data) {
  // The chosen features: 8 x 8 drawn cells of 16 pixels, or a level of the recorded pyramid.
  if (state.feature === "real" && data) {
    const { height, width, stride, low, high, values } = data.levels[state.level];
    const bytes = Uint8Array.from(atob(values), (letter) => letter.charCodeAt(0));
    return { height, width, stride, values: Array.from(bytes, (byte) => low + ((high - low) * byte) / 255) };
  }
  const draw = {
    edge: (i, j) => (2 * j + i >= 10 ? 9 : 0),
    texture: (i, j) => (i * 7 + j * 4 + i * j * 3 + ((i * j) % 4) * 2) % 10,
  }[state.feature] ?? ((i, j) => j);
  const values = Array.from({ length: 64 }, (_, cell) => draw(Math.floor(cell / 8), cell % 8));
  return { height: 8, width: 8, stride: 16, values };
}

export function crops(state, map) {
  // All that is shown: the exact means, and of each op its bins and differences, or its gradient over the map.
  const { box, side, points, reduce, half_pixel } = state;
  const exact = exactMean(map, box, side, 1 / map.stride);
  const answer = { map, exact, snapped: snapToCells(box, 1 / map.stride) };
  for (const op of OPS) {
    const bins = ROI_OPS[op](map, box, side, 1 / map.stride, { points, reduce, half_pixel });
    const error = bins.map((bin, b) => bin.value - exact[b]);
    const off = error.reduce((total, e) => total + Math.abs(e), 0) / error.length;
    const grad = state.view === "gradient" ? gradient(bins, map) : [];
    answer[op] = { bins, error, off, grad, reached: grad.filter((g) => g > 1e-12).length };
  }
  return answer;
}

export function render({ model, el }) {
  return frame({ model, el }, (ui) => {
    const lab = { ui, now: null }; // now: what `crops` says of the present state
    const picture = new Image(); // what the recorded features were computed from
    picture.onload = ui.soon;
    if (ui.data) picture.src = ui.data.picture;
    let source; // of the map
    let map;
    ui.prepare = (state) => {
      if (source !== (source = `${state.feature} ${state.level}`)) {
        map = featureMap(state, ui.data);
        lab.least = Math.min(...map.values);
        lab.range = Math.max(...map.values) - lab.least || 1;
      }
      lab.now = crops(state, map);
    };
    lab.picture = picture;
    lab.backdrop = backdrop();
    lab.colour = (op) => ui.ink[COLOURS[op]];
    lab.grey = (value) => mix(ui.ink.low, ui.ink.high, (value - lab.least) / lab.range);
    lab.tint = (op, share) => mix(ui.ink.low, rgb(lab.colour(op)), share);
    lab.bin = ({ bin, side }) => clamp(bin[0], 0, side - 1) * side + clamp(bin[1], 0, side - 1);
    lab.size = () => ({ rows: lab.now.map.height, columns: lab.now.map.width, stride: lab.now.map.stride });

    const title = reading(ui, "map", (state) => state.view === "gradient"
      ? ui.t("map_gradient", { op: ui.t(state.op) }) : ui.t("map", lab.size()), { class: "mw-caption mw-quiet" });
    const fields = SIDES.map((name, k) => numberField(ui, name, (state) => state.box[k], (value) => {
      const box = ui.state.box.map((v, n) => (n === k ? value : v));
      if (box[2] - box[0] >= 1 && box[3] - box[1] >= 1) ui.set({ box });
    }, { min: 0, max: IMAGE, step: 0.5 }));
    const columns = "display:grid;gap:.35em .6em;grid-template-columns:repeat(3,minmax(0,1fr))";
    return [
      ...controls(ui),
      make("div", { class: "mw-grid", style: "grid-template-columns:minmax(0,1fr) minmax(0,1.18fr)" },
        make("div", {}, title, mapSurface(lab),
          make("div", { class: "mw-row mw-tight" }, make("span", {}, ui.t("pixels")), ...fields)),
        make("div", { style: columns }, ...OPS.map((op) => column(lab, op)))),
      reading(ui, "formula", (state) => formula(lab, state), { class: "mw-read mw-formula", tabindex: 0,
        role: "region", "aria-label": ui.t("formula") }),
    ];
  });
}

function controls(ui) {
  const named = (key) => SPEC.choices[key].map((value) => ui.t(value));
  const levels = choice(ui, "level", ui.t("level"), ["P2", "P3", "P4", "P5"]);
  const seen = toggle(ui, "picture", ui.t("picture"));
  ui.update((state) => {
    for (const control of [levels, seen]) control.hidden = state.feature !== "real";
  });
  return [
    make("div", { class: "mw-row" }, choice(ui, "feature", ui.t("feature"), named("feature")),
      choice(ui, "side", ui.t("side")), levels, seen),
    make("div", { class: "mw-row" }, choice(ui, "points", ui.t("points"), ["1", "4", "9", ui.t("adaptive")]),
      choice(ui, "reduce", ui.t("reduce"), named("reduce")), toggle(ui, "half_pixel", ui.t("half_pixel")),
      choice(ui, "view", ui.t("view"), named("view"))),
  ];
}

// ---- the map: its cells, what the chosen op looks at, and the box to drag -------------------------------------------

function mapSurface(lab) {
  const { ui } = lab;
  const map = surface(ui, { label: () => ui.t("map", lab.size()), draw: (...where) => drawMap(lab, ...where) });
  // A sample at (i, j) is the value of cell (i, j): drawn at the cell's centre. RoIPool's bins are whole cells.
  lab.shift = (op) => (op === "pool" ? 0 : 0.5);
  boxHandles(ui, map, { name: ui.t("box"), extent: () => [IMAGE, IMAGE], colour: () => lab.colour("align"),
    get: (state) => state.box, set: (box) => ui.set({ box }),
    tap: (x, y) => { // a press on the map chooses the bin below
      const { op, side } = ui.state;
      const [cx, cy] = [x * lab.now.map.width - lab.shift(op), y * lab.now.map.height - lab.shift(op)];
      const inside = ({ rectangle: [x1, y1, x2, y2] }) => cx >= x1 && cx < x2 && cy >= y1 && cy < y2;
      const hit = lab.now[op].bins.findIndex(inside);
      if (hit >= 0) ui.set({ bin: [Math.floor(hit / side), hit % side] });
    } });
  return map;
}

function drawMap(lab, context, width, height, state) {
  const { ui, now: { map, snapped } } = lab;
  const { bins } = lab.now[state.op];
  const [bin, colour] = [bins[lab.bin(state)], lab.colour(state.op)];
  const [cell, shift] = [width / map.width, lab.shift(state.op)];
  const place = (rectangle) => rectangle.map((v) => (v + shift) * cell);
  const pixel = ({ x, y }) => [(x + 0.5) * cell, (y + 0.5) * cell];
  const coarse = map.width <= 8;

  drawCells(lab, context, width, height, state);
  const halo = state.picture && state.feature === "real";
  const [top, left] = [bins.slice(0, state.side), bins.filter((_, b) => b % state.side === 0)]; // a row, a column
  const [x1, y1, x2, y2] = [...bins[0].rectangle.slice(0, 2), ...bins[bins.length - 1].rectangle.slice(2)];
  const strips = [...top.map(({ rectangle: [from, , to] }) => [from, y1, to, y2]),
    ...left.map(({ rectangle: [, from, , to] }) => [x1, from, x2, to])]; // the lines of all bins, where none overlap
  const lines = state.op === "pool" ? bins.map(({ rectangle }) => rectangle) : strips;
  outlines(context, ui, lines.map(place), colour, { width: 1, halo });
  // The frame of all bins: off the box where something was rounded, half a pixel forgotten.
  if (state.op !== "pool") outline(context, ui, place([x1, y1, x2, y2]), colour, { width: 2 });
  const rounded = { dash: [7, 5], halo: halo || state.op !== "align" };
  outline(context, ui, snapped.map((v) => v * cell), lab.colour("pool"), rounded);
  outline(context, ui, state.box.map((v) => (v / IMAGE) * width), lab.colour("align"), { width: 3 });
  outline(context, ui, place(bin.rectangle), colour, { width: 3.5 });
  if (state.op === "pool") {
    for (const [winner] of bin.weights) {
      const [x, y] = [(winner % map.width) * cell, Math.floor(winner / map.width) * cell];
      outline(context, ui, [x + 4, y + 4, x + cell - 4, y + cell - 4], ui.ink.ink, { dash: [2, 2] });
    }
    return;
  }
  // The points of a row of bins lie at the same places across, those of a column of bins at the same places down.
  const along = (places) => [...new Set(places.map(({ at }) => (at + 0.5) * cell))];
  const [xs, ys] = [along(top.flatMap(({ columns }) => columns)), along(left.flatMap(({ rows }) => rows))];
  if (xs.length && ys.length) lattice(context, ui, xs, ys, coarse ? 2.6 : 1.6, colour);
  const { samples } = bin;
  for (const sample of samples) { // to the centres of its four cells, the thicker the more they count
    for (const [at, weight] of sample.weights) {
      const centre = pixel({ x: at % map.width, y: Math.floor(at / map.width) });
      if (weight > 1e-9) line(context, ui, ...pixel(sample), ...centre, colour, 5 * weight);
    }
  }
  dots(context, ui, samples.map(pixel), coarse ? 5 : 3.2, colour);
}

function drawCells(lab, context, width, height, state) {
  const { ui, now: { map } } = lab;
  const { grad } = lab.now[state.op];
  const grid = (on, paint, words) => cells(on, ui, width, height, map.height, map.width,
    (i, j) => paint(i * map.width + j), words && ((i, j) => words(i * map.width + j)));
  if (state.view === "gradient") {
    const most = Math.max(...grad, 1e-9);
    const words = (at) => (grad[at] > 1e-12 ? number(grad[at]) : "");
    return grid(context, (at) => lab.tint(state.op, (0.75 * grad[at]) / most), words);
  }
  const real = state.feature === "real";
  const seen = real && state.picture && lab.picture.complete;
  lab.backdrop(context, width, height, [state.feature, state.level, seen, ui.ink.paper, ui.u], (below) => {
    below.imageSmoothingEnabled = false; // pixels are pixels
    if (seen) below.drawImage(lab.picture, 0, 0, width, height);
    if (seen) grid(below, () => "transparent");
    else grid(below, (at) => lab.grey(map.values[at]), (at) => number(map.values[at], real ? 1 : 0));
  });
}

// ---- a column for each op: its crop, and below it the difference from the exact mean, or the gradient ---------------

function column(lab, op) {
  const { ui } = lab;
  const list = (values) => values.map((v) => number(v)).join(" ");
  const digits = (state) => (state.side <= 4 ? 2 : 1);
  const short = (values) => values.map((v) => Math.round(1e6 * v)); // not for what the last digits of a sum do
  const marked = (state) => [state.feature, state.level, state.side, state.op === op && lab.bin(state)];
  const mark = (context, width, state) => {
    if (state.op !== op) return;
    const [b, w] = [lab.bin(state), width / state.side];
    const [x, y] = [(b % state.side) * w, Math.floor(b / state.side) * w];
    outline(context, ui, [x + 2, y + 2, x + w - 2, y + w - 2], lab.colour(op), { width: 3 });
  };
  const crop = surface(ui, {
    needs: (state) => [marked(state), short(lab.now[op].bins.map((bin) => bin.value))],
    label: () => ui.t("result", { op: ui.t(op), values: list(lab.now[op].bins.map((bin) => bin.value)) }),
    draw: (context, width, height, state) => {
      const value = (i, j) => lab.now[op].bins[i * state.side + j].value;
      cells(context, ui, width, height, state.side, state.side, (i, j) => lab.grey(value(i, j)),
        (i, j) => number(value(i, j), digits(state)));
      mark(context, width, state);
    },
  });
  const below = surface(ui, {
    needs: (state) => (state.view === "gradient" ? state : [marked(state), short(lab.now[op].error)]),
    label: (state) => state.view === "error" ? ui.t("below_error", { op: ui.t(op), values: list(lab.now[op].error) })
      : ui.t("below_gradient", { op: ui.t(op), count: lab.now[op].reached }),
    draw: (context, width, height, state) => {
      const { error, grad } = lab.now[op];
      if (state.view === "gradient") {
        const { map } = lab.now;
        const most = Math.max(...grad, 1e-9);
        const paint = (i, j) => lab.tint(op, (0.9 * grad[i * map.width + j]) / most);
        cells(context, ui, width, height, map.height, map.width, paint);
        return outline(context, ui, state.box.map((v) => (v / IMAGE) * width), ui.ink.ink, { width: 1.5 });
      }
      const at = (i, j) => error[i * state.side + j];
      const strength = (e) => 0.7 * Math.sqrt((3 * Math.abs(e)) / lab.range);
      const paint = (i, j) => mix(ui.ink.low, rgb(at(i, j) > 0 ? ui.ink.orange : ui.ink.blue), strength(at(i, j)));
      const words = (i, j) => signed(at(i, j), digits(state));
      cells(context, ui, width, height, state.side, state.side, paint, words);
      mark(context, width, state);
    },
  });
  for (const on of [crop, below]) pickBin(lab, on, op, (state) => on === crop || state.view === "error");

  const name = make("button", { type: "button", class: "mw-button mw-op", "data-op": op, click: () => ui.set({ op }) },
    make("span", { class: "mw-mark", style: `background:var(--${COLOURS[op]})` }), ui.t(op));
  ui.update((state) => {
    name.setAttribute("aria-pressed", state.op === op);
    name.style.boxShadow = state.op === op ? `inset 0 0 0 .15em ${lab.colour(op)}` : "none";
  });
  const summary = (state) => state.view === "error" ? ui.t("mean_error", { value: number(lab.now[op].off) })
    : ui.t("reached", { count: lab.now[op].reached });
  return make("div", { class: "mw-column" }, name, make("p", { class: "mw-caption mw-quiet" }, ui.t(`how_${op}`)), crop,
    reading(ui, `lower-${op}`, (state) => ui.t(`lower_${state.view}`), { class: "mw-caption mw-quiet" }), below,
    reading(ui, `summary-${op}`, summary, { class: "mw-caption" }));
}

function pickBin(lab, on, op, showsBins) {
  const { ui } = lab;
  const choose = (i, j) => ui.set({ op, bin: [i, j].map((k) => clamp(k, 0, ui.state.side - 1)) });
  const button = handle(ui, on, {
    place: () => [0, 0, 1, 1],
    step: () => [1, 1],
    label: (state) => {
      const b = lab.bin(state);
      const [row, column] = [Math.floor(b / state.side) + 1, (b % state.side) + 1];
      return ui.t("pick", { op: ui.t(op), row, column, value: number(lab.now[op].bins[b].value) });
    },
    tap: (x, y, from) => {
      const side = ui.state.side;
      if (from) choose(from.bin[0] + y, from.bin[1] + x); // by arrow key: x and y are steps
      else if (showsBins(ui.state)) choose(Math.floor(y * side), Math.floor(x * side));
      else ui.set({ op });
    },
  });
  button.style.cursor = "pointer";
}

// ---- the formula of the chosen bin, with the numbers in it ----------------------------------------------------------

function formula(lab, state) {
  const { ui, now: { map, snapped, exact } } = lab;
  const [b, op] = [lab.bin(state), state.op];
  const bin = lab.now[op].bins[b];
  const value = number(bin.value, 3);
  const parts = { stride: map.stride, op: ui.t(op), side: state.side };
  parts.row = Math.floor(b / state.side) + 1;
  parts.column = (b % state.side) + 1;
  SIDES.forEach((name, k) => {
    parts[name] = number(state.box[k]);
    parts[`c${name}`] = number(state.box[k] / map.stride, 3); // in cells
    parts[`s${name}`] = snap(state.box[k] / map.stride); // rounded
  });
  const lines = [ui.t("f_where", parts), ui.t(op === "align" ? "f_exact" : "f_round", parts)];
  if (op !== "align") {
    const [left, top, right, bottom] = snapped.map((v, k) => signed(v * map.stride - state.box[k], 1));
    lines.push(ui.t("f_moved", { left, top, right, bottom }));
  }
  if (op === "pool") {
    const [left, top, right, bottom] = bin.rectangle;
    const values = [];
    for (let y = top; y < bottom; y++) {
      for (let x = left; x < right; x++) values.push(number(map.values[y * map.width + x]));
    }
    const where = { top, left, bottom: bottom - 1, right: right - 1, values: values.join(", "), value };
    lines.push(values.length ? ui.t("f_pool", where) : ui.t("f_none"));
  } else {
    const { samples } = bin;
    for (const sample of samples) {
      const counted = sample.weights.filter(([, weight]) => weight > 5e-4);
      const terms = counted.map(([at, weight]) => `${number(weight, 3)}·${number(map.values[at])}`).join(" + ");
      const where = { y: number(sample.y + 0.5), x: number(sample.x + 0.5), terms, value: number(sample.value, 3) };
      lines.push(ui.t(counted.length ? "f_point" : "f_outside", where));
    }
    lines.push(ui.t(state.reduce === "max" ? "f_max" : "f_mean", { n: samples.length, value }));
  }
  lines.push(ui.t("f_target", { value: number(exact[b], 3) }));
  return lines.join("\n");
}
export default { render };
