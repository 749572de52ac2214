// Drawing: a canvas as sharp as the screen, and what goes on it: grids of cells, boxes, points, words.

const rgb = (hex) => [1, 3, 5].map((k) => parseInt(hex.slice(k, k + 2), 16));
const between = (a, b, t) => Math.round(a + clamp(t, 0, 1) * (b - a));
const mix = (a, b, t) => `rgb(${between(a[0], b[0], t)},${between(a[1], b[1], t)},${between(a[2], b[2], t)})`;
const FONT = 'system-ui, "Segoe UI", "Noto Sans KR", sans-serif';

function upon(ui, ground) {
  // Paper or ink, whichever has more contrast with a ground of this colour (WCAG's formula).
  const linear = (v) => (v <= 10 ? v / 3295 : ((v / 255 + 0.055) / 1.055) ** 2.4);
  const luminance = (hex) => rgb(hex).reduce((sum, v, k) => sum + [0.2126, 0.7152, 0.0722][k] * linear(v), 0.05);
  const contrast = (ink) => Math.max(luminance(ink) / luminance(ground), luminance(ground) / luminance(ink));
  return contrast(ui.ink.paper) >= contrast(ui.ink.ink) ? ui.ink.paper : ui.ink.ink;
}

function surface(ui, { label, ratio = 1, draw, needs }) {
  // `ratio` is width / height; draw(context, width, height, state) in CSS pixels; label(state) says what is to be seen.
  // needs(state) is all that both depend on, beside theme and size: drawn anew where it changed; without it, always.
  const canvas = make("canvas", { role: "img" });
  const context = canvas.getContext("2d");
  canvas.style.aspectRatio = ratio;
  let width = 0;
  let drawn;
  let told = true; // whether the label is of what is drawn
  const redraw = (state) => {
    if (ui.resized || !width) width = canvas.clientWidth || 300;
    const height = width / ratio;
    const scale = window.devicePixelRatio || 1;
    const pixels = [Math.round(width * scale), Math.round(height * scale)];
    if (canvas.width !== pixels[0] || canvas.height !== pixels[1]) [canvas.width, canvas.height] = pixels;
    context.setTransform(scale, 0, 0, scale, 0, 0);
    context.clearRect(0, 0, width, height);
    context.lineJoin = "round";
    draw(context, width, height, state);
    told = false;
  };
  ui.draw((state) => {
    const now = needs && JSON.stringify(needs(state));
    if (!needs || now !== drawn || ui.resized) redraw(state);
    drawn = now;
    if (told || ui.dragging) return;
    const words = label(state);
    if (canvas.getAttribute("aria-label") !== words) canvas.setAttribute("aria-label", words);
    told = true;
  });
  return make("div", { class: "mw-surface" }, canvas);
}

function backdrop() {
  // What lies below the rest and seldom changes: the answer draws it on a canvas of its own when `needs` has changed,
  // and copies it in any case.
  const canvas = make("canvas");
  const own = canvas.getContext("2d");
  let drawn;
  return (context, width, height, needs, draw) => {
    const now = JSON.stringify([needs, context.canvas.width, context.canvas.height]);
    if (now !== drawn) {
      [canvas.width, canvas.height] = [context.canvas.width, context.canvas.height]; // empties it
      own.setTransform(context.getTransform());
      draw(own);
      drawn = now;
    }
    context.drawImage(canvas, 0, 0, width, height);
  };
}

const widths = new Map(); // of words, in ems: measuring is the slowest part of drawing

function widthOf(words, weight) {
  const key = weight + words;
  if (!widths.has(key)) {
    if (widths.size > 5000) widths.clear();
    const ruler = (widthOf.ruler ??= make("canvas").getContext("2d"));
    ruler.font = `${weight} 100px ${FONT}`;
    widths.set(key, ruler.measureText(words).width / 100);
  }
  return widths.get(key);
}

function text(context, ui, words, x, y, how) {
  texts(context, ui, [[words, x, y]], how);
}

function texts(context, ui, lines, { size = 13, align = "center", colour = ui.ink.ink, weight = 400, most } = {}) {
  // Each line is [words, x, y], its middle at height y; smaller where it would be wider than `most`, left out where it
  // would be tiny.
  context.textAlign = align;
  context.textBaseline = "middle";
  context.fillStyle = colour;
  let font; // WHY: a hundred words have two or three sizes, and to set one costs as much as to write a word
  for (const [words, x, y] of lines) {
    const room = most === undefined ? 1 : most / (size * ui.u * Math.max(widthOf(words, weight), 0.01));
    if (room < 0.65) continue;
    const pixels = Math.round(10 * size * ui.u * Math.min(room, 1)) / 10;
    if (font !== pixels) context.font = `${weight} ${(font = pixels)}px ${FONT}`;
    context.fillText(words, x, y);
  }
}

function outline(context, ui, box, colour, how) {
  outlines(context, ui, [box], colour, how);
}

function outlines(context, ui, boxes, colour, { width = 2, dash = [], halo = true } = {}) {
  // Rectangles; the halo of paper lifts them from whatever lies below.
  context.save();
  context.beginPath();
  for (const [x1, y1, x2, y2] of boxes) context.rect(x1, y1, x2 - x1, y2 - y1);
  if (halo) {
    context.strokeStyle = ui.ink.paper;
    context.globalAlpha = 0.75;
    context.lineWidth = (width + 2.4) * ui.u;
    context.stroke();
  }
  context.globalAlpha = 1;
  context.setLineDash(dash.map((d) => d * ui.u));
  context.lineWidth = width * ui.u;
  context.strokeStyle = colour;
  context.stroke();
  context.restore();
}

function line(context, ui, x1, y1, x2, y2, colour, width = 1.5, dash = []) {
  context.save();
  context.setLineDash(dash.map((d) => d * ui.u));
  context.strokeStyle = colour;
  context.lineWidth = width * ui.u;
  context.beginPath();
  context.moveTo(x1, y1);
  context.lineTo(x2, y2);
  context.stroke();
  context.restore();
}

function dot(context, ui, x, y, radius, colour) {
  dots(context, ui, [[x, y]], radius, colour);
}

function dots(context, ui, points, radius, colour) {
  context.beginPath();
  for (const [x, y] of points) {
    context.moveTo(x + radius * ui.u, y);
    context.arc(x, y, radius * ui.u, 0, 2 * Math.PI);
  }
  context.fillStyle = colour;
  context.fill();
  context.lineWidth = 1.2 * ui.u;
  context.strokeStyle = ui.ink.paper;
  context.stroke();
}

function lattice(context, ui, xs, ys, radius, colour) {
  // A dot at each x of each y. WHY not `dots`: the shape of 441 circles takes 20 times as long as that of a row of 21,
  // which is then copied.
  const scale = context.getTransform().a; // pixels of the screen in a pixel of CSS
  const reach = Math.ceil(radius * ui.u) + 1;
  const left = Math.floor(Math.min(...xs)) - reach;
  const [width, height] = [Math.ceil(Math.max(...xs)) + reach - left, 2 * reach];
  const row = (lattice.row ??= make("canvas").getContext("2d")); // one for all
  const pixels = [Math.ceil(width * scale), Math.ceil(height * scale)];
  // WHY it only grows: a new size is a new picture in memory.
  if (row.canvas.width < pixels[0]) row.canvas.width = pixels[0];
  if (row.canvas.height < pixels[1]) row.canvas.height = pixels[1];
  row.setTransform(scale, 0, 0, scale, 0, 0);
  row.clearRect(0, 0, width + 1, height + 1);
  dots(row, ui, xs.map((x) => [x - left, reach]), radius, colour);
  const [w, h] = pixels.map((length) => length / scale);
  for (const y of ys) context.drawImage(row.canvas, 0, 0, ...pixels, left, y - reach, w, h);
}

function cells(context, ui, width, height, rows, columns, paint, words) {
  // A grid of rectangles: paint(i, j) -> colour, words(i, j) -> what stands in it, where there is room.
  const [w, h] = [width / columns, height / rows];
  const size = Math.min(13, (0.42 * h) / ui.u);
  const [x, y] = [(j) => Math.round(j * w), (i) => Math.round(i * h)]; // whole pixels: neither seams nor blurred lines
  for (let i = 0; i < rows; i++) {
    const colours = Array.from({ length: columns }, (_, j) => paint(i, j));
    for (let j = 0, start = 0; j < columns; j++) { // neighbours of one colour are one rectangle
      if (j + 1 < columns && colours[j + 1] === colours[start]) continue;
      context.fillStyle = colours[start];
      context.fillRect(x(start), y(i), x(j + 1) - x(start), y(i + 1) - y(i));
      start = j + 1;
    }
  }
  if (Math.min(w, h) >= 5) {
    context.strokeStyle = ui.ink.line;
    context.lineWidth = 1;
    context.beginPath();
    for (let i = 0; i <= rows; i++) {
      const at = Math.min(y(i) + 0.5, height - 0.5);
      context.moveTo(0, at), context.lineTo(width, at);
    }
    for (let j = 0; j <= columns; j++) {
      const at = Math.min(x(j) + 0.5, width - 0.5);
      context.moveTo(at, 0), context.lineTo(at, height);
    }
    context.stroke();
  }
  if (!words || size * ui.u < 8.5) return;
  const lines = Array.from({ length: rows * columns }, (_, cell) => {
    const [i, j] = [Math.floor(cell / columns), cell % columns];
    return [words(i, j), (j + 0.5) * w, (i + 0.5) * h];
  });
  texts(context, ui, lines, { size, most: w - 1 });
}
