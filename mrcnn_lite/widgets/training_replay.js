// Training, replayed: what a network proposed, was trained on and detected at the checkpoints of a recorded run.

const IMAGE = 128; // pixels a side
const LOSSES = ["loss_objectness", "loss_rpn_box_reg", "loss_classifier", "loss_box_reg", "loss_mask"];
const LAYERS = { truth: "ink", proposals: "orange", rois: "green", detections: "blue", masks: "blue" };
const PACE = 500; // milliseconds a checkpoint
const DASHED = { width: 1.3, dash: [4, 3], halo: false }; // negative RoIs
const DIGITS = 3; // of a loss
const AXIS = 0.3; // height of the axis, of a lane's
const TICKS = [0, 10, 30, 100, 300, 1000, 3000, 10000];

const bytesOf = (values) => Uint8Array.from(atob(values), (letter) => letter.charCodeAt(0));

export function proposalsOf(recorded) {
  // Five bytes each: a box and its objectness.
  const bytes = Array.from(bytesOf(recorded), (byte) => byte / 255);
  return Array.from({ length: bytes.length / 5 }, (_, n) =>
    ({ box: bytes.slice(5 * n, 5 * n + 4).map((side) => IMAGE * side), score: bytes[5 * n + 4] }));
}

export function pixelsOf(runs) {
  // A mask from the lengths of its runs, outside and inside in turn; seven bits a byte, the highest says "goes on".
  const pixels = new Uint8Array(IMAGE * IMAGE);
  let [at, length, shift, inside] = [0, 0, 0, 0];
  for (const byte of bytesOf(runs)) {
    length += (byte & 127) << shift;
    shift += 7;
    if (byte & 128) continue;
    if (inside) pixels.fill(1, at, at + length);
    [at, length, shift, inside] = [at + length, 0, 0, 1 - inside];
  }
  return pixels;
}

export function maskIoU(a, b) {
  let [both, either] = [0, 0];
  a.forEach((inside, at) => {
    both += inside & b[at];
    either += inside | b[at];
  });
  return either ? both / either : 0;
}

export function outcomeOf(object, proposals, detections) {
  // What there is for one object: the best overlap of a proposal, and the surest detection on it (IoU of at least 0.5).
  const overlap = Math.max(0, ...proposals.map(({ box }) => iou(box, object.box)));
  const found = detections.find(({ box }) => iou(box, object.box) >= 0.5); // they come best first
  if (!found) return { overlap };
  return { overlap, found, box: iou(found.box, object.box), mask: maskIoU(found.pixels, object.pixels) };
}

export function render({ model, el }) {
  const player = { timer: 0, at: -1 };
  return frame({ model, el }, (ui) => {
    const { checkpoints, steps, classes, curves, objects, made } = ui.data;
    const last = steps.length - 1;
    const lab = { ui, player, last, now: null, shown: -1, most: {} };
    lab.objects = objects.map((object) => ({ ...object, pixels: pixelsOf(object.mask) }));
    lab.curves = {};
    for (const name of LOSSES) {
      const { low, high, values } = curves[name];
      lab.curves[name] = Array.from(bytesOf(values), (byte) => low + ((high - low) * byte) / 255);
      const told = checkpoints.flatMap(({ batches, own }) => [batches[name], own[name]]).sort((a, b) => a - b);
      lab.most[name] = 1.08 * told[Math.ceil(0.95 * told.length) - 1]; // the few above are cut
    }
    lab.picture = new Image();
    lab.picture.onload = ui.soon;
    lab.picture.src = ui.data.picture;
    lab.go = (k) => ui.set({ checkpoint: clamp(k, 0, last) });
    ui.prepare = ({ checkpoint }) => {
      if (player.timer && checkpoint !== player.at) pause(player); // somebody else has moved it
      if (lab.shown === checkpoint) return; // masks are unpacked only when others are to be shown
      lab.shown = checkpoint;
      lab.now = checkpoints[clamp(checkpoint, 0, last)];
      lab.proposals = proposalsOf(lab.now.proposals);
      lab.candidates = [...lab.proposals, ...objects];
      lab.detections = lab.now.detections.map((one) => ({ ...one, pixels: pixelsOf(one.mask) }));
    };
    lab.sure = ({ threshold }) => lab.detections.filter(({ score }) => score >= threshold);
    lab.step = ({ checkpoint }) => steps[clamp(checkpoint, 0, last)];
    const words = (state) => {
      const { rois, positives, detected } = lab.now;
      const [best, sure] = [lab.proposals.slice(0, state.top), lab.sure(state)];
      const own = rois.filter((n) => n >= lab.proposals.length).length;
      return [
        ui.t("f_step", { step: lab.step(state), last: steps[last], batch: made.batch_size }),
        ui.t("f_rois", { positives, negatives: rois.length - positives, own }),
        ui.t("f_detections", { count: sure.length, threshold: number(state.threshold), detected }),
        ...lab.objects.map((object) => {
          const { overlap, found, box, mask } = outcomeOf(object, best, sure);
          const name = ui.t("f_object", { name: classes[object.label], top: best.length, overlap: overlap.toFixed(2) });
          if (!found) return name + ui.t("f_missed");
          return name + ui.t("f_found", { label: classes[found.label], score: found.score.toFixed(2),
            box: box.toFixed(2), mask: mask.toFixed(2) });
        }),
      ].join("\n");
    };
    return [
      make("div", { class: "mw-row" }, playButton(lab),
        slider(ui, "checkpoint", ui.t("checkpoint"),
          { min: 0, max: last, step: 1, show: (k) => ui.t("step", { step: steps[clamp(k, 0, last)] }) }),
        short(slider(ui, "top", ui.t("top"), { min: 1, max: 100, step: 1 })),
        short(slider(ui, "threshold", ui.t("threshold"), { min: 0.05, max: 0.95, step: 0.05 }))),
      make("div", { class: "mw-row" }, ...Object.entries(LAYERS).map(([key, ink]) => layer(ui, key, ink))),
      make("div", { class: "mw-grid", style: "grid-template-columns:minmax(0,1fr) minmax(0,1.25fr)" },
        picture(lab), losses(lab)),
      reading(ui, "outcome", words, { class: "mw-read", style: "margin-top:.7em;--high:11em;--long:19em", tabindex: 0,
        role: "region", "aria-label": ui.t("outcome") }),
    ];
  });
}

function short(field) {
  field.querySelector("input").style.width = "6em";
  return field;
}

function layer(ui, key, ink) {
  const field = toggle(ui, key, ui.t(key));
  field.querySelector("input").after(make("span", { class: "mw-mark", style: `background:var(--${ink});margin:0` }));
  return field;
}

function pause(player) {
  clearTimeout(player.timer);
  player.timer = 0;
}

function playButton(lab) {
  // Plays to the end, from the beginning where it is at the end; whoever wants less motion gets one checkpoint a press.
  const { ui, player, last } = lab;
  const calm = window.matchMedia("(prefers-reduced-motion: reduce)");
  const forward = () => {
    player.timer = 0;
    if (!ui.root.isConnected) return;
    player.at = ui.state.checkpoint + 1;
    if (player.at < last) player.timer = setTimeout(forward, PACE);
    lab.go(player.at);
  };
  const press = () => {
    if (player.timer) {
      pause(player);
      return ui.soon();
    }
    if (calm.matches) return lab.go(ui.state.checkpoint < last ? ui.state.checkpoint + 1 : 0);
    player.at = ui.state.checkpoint < last ? ui.state.checkpoint : 0;
    player.timer = setTimeout(forward, PACE);
    lab.go(player.at);
  };
  const button = make("button", { class: "mw-button", type: "button", "data-play": true, style: "min-width:5.4em",
    click: press });
  ui.update(() => {
    const now = calm.matches ? ui.t("next") : player.timer ? ui.t("pause") : ui.t("play");
    if (button.textContent !== now) button.textContent = now;
  });
  return button;
}

function picture(lab) {
  const { ui } = lab;
  const { classes } = ui.data;
  const named = ({ label, score }) => `${classes[label]} ${score.toFixed(2)}`;
  return surface(ui, {
    label: (state) => ui.t("picture_label",
      { step: lab.step(state), list: lab.sure(state).map(named).join(", ") || "–" }),
    draw: (context, width, height, state) => {
      const scale = width / IMAGE;
      const place = (box) => box.map((side) => side * scale);
      const proposal = ({ box: [x1, y1, x2, y2], score }) => { // the surer, the stronger
        context.globalAlpha = 0.4 + 0.6 * score;
        context.strokeStyle = THEMES.dark.orange; // it stands out from the picture, whatever the page is
        context.lineWidth = 1.8 * ui.u;
        context.strokeRect(x1 * scale, y1 * scale, (x2 - x1) * scale, (y2 - y1) * scale);
        context.globalAlpha = 1;
      };
      context.fillStyle = ui.ink.panel;
      context.fillRect(0, 0, width, height);
      context.imageSmoothingEnabled = false; // pixels are pixels
      if (lab.picture.complete) context.drawImage(lab.picture, 0, 0, width, height);
      const sure = lab.sure(state);
      if (state.masks) for (const { pixels } of sure) cover(context, ui, pixels, scale);
      const truth = state.truth ? lab.objects : [];
      for (const { box } of truth) outline(context, ui, place(box), ui.ink.ink, { dash: [2, 3] });
      if (state.proposals) {
        lab.proposals.slice(0, state.top).reverse().forEach(proposal); // the best on top
      }
      if (state.rois) {
        const { rois, positives } = lab.now;
        const negative = rois.slice(positives).map((n) => place(lab.candidates[n].box));
        outlines(context, ui, negative, THEMES.dark.ink, DASHED);
        rois.slice(0, positives).forEach((n) => outline(context, ui, place(lab.candidates[n].box), ui.ink.green));
      }
      if (!state.detections) return;
      for (const one of [...sure].reverse()) outline(context, ui, place(one.box), ui.ink.blue, { width: 3 });
      const taken = []; // by names: the surer ones come first
      for (const one of sure) tag(context, ui, named(one), place(one.box), width, height, taken);
    },
  });
}

function cover(context, ui, pixels, scale) {
  // The pixels of a mask, a run at a time: one by one they would show seams. Its border is what tells it from an object
  // of the same colour.
  const edge = (k) => Math.round(k * scale);
  context.save();
  context.fillStyle = ui.ink.blue;
  context.globalAlpha = 0.6;
  for (let row = 0; row < IMAGE; row++) {
    for (let from = 0, to; from < IMAGE; from = to + 1) {
      for (to = from; to < IMAGE && pixels[row * IMAGE + to]; to++);
      if (to > from) context.fillRect(edge(from), edge(row), edge(to) - edge(from), edge(row + 1) - edge(row));
    }
  }
  context.beginPath();
  const side = (x, y, dx, dy) => {
    context.moveTo(edge(x), edge(y));
    context.lineTo(edge(x + dx), edge(y + dy));
  };
  for (let at = IMAGE; at < pixels.length; at++) {
    const [x, y] = [at % IMAGE, Math.floor(at / IMAGE)];
    if (pixels[at] !== pixels[at - IMAGE]) side(x, y, 1, 0);
    if (x && pixels[at] !== pixels[at - 1]) side(x, y, 0, 1);
  }
  context.globalAlpha = 1;
  context.strokeStyle = ui.ink.paper;
  context.lineWidth = 1.5 * ui.u;
  context.stroke();
  context.restore();
}

function tag(context, ui, words, [x1, y1, , y2], width, height, taken) {
  // A name on paper above a box's left corner, or below it where another name stands; nowhere where both are taken.
  const size = 13;
  const [wide, high] = [(widthOf(words, 650) * size + 8) * ui.u, 17 * ui.u];
  const x = clamp(x1, 0, Math.max(width - wide, 0));
  const free = (y) => !taken.some(([left, top, right]) => x < right && left < x + wide && Math.abs(top - y) < high);
  const y = [clamp(y1 - high, 0, height - high), clamp(y2, 0, height - high)].find(free);
  if (y === undefined) return;
  taken.push([x, y, x + wide]);
  context.fillStyle = ui.ink.paper;
  context.fillRect(x, y, wide, high);
  text(context, ui, words, x + 4 * ui.u, y + high / 2, { size, align: "left", weight: 650, colour: ui.ink.blue });
}

function losses(lab) {
  // Five lanes, a loss each, over one axis of steps; the names and numbers stand beside them as text.
  const { ui } = lab;
  const { steps } = ui.data;
  const stretched = (step) => 0.02 + 0.96 * (Math.log1p(step / 10) / Math.log1p(steps.at(-1) / 10));
  const lanes = LOSSES.length + AXIS;
  const on = surface(ui, {
    ratio: 0.85,
    label: (state) => ui.t("curves_label", { step: lab.step(state) }),
    draw: (context, width, height, state) => {
      const high = height / lanes;
      const x = (step) => stretched(step) * width;
      const here = x(lab.step(state));
      LOSSES.forEach((name, n) => {
        const y = (value) => (n + 0.96 - 0.9 * Math.min(value / lab.most[name], 1)) * high;
        context.fillStyle = ui.ink.panel;
        context.fillRect(0, (n + 0.03) * high, width, 0.94 * high);
        const path = (points, colour, thick) => {
          context.beginPath();
          points.forEach(([step, value]) => context.lineTo(x(step), y(value)));
          context.strokeStyle = colour;
          context.lineWidth = thick * ui.u;
          context.stroke();
        };
        path(lab.curves[name].map((value, step) => [step + 1, value]), ui.ink.line, 1);
        path(ui.data.checkpoints.map(({ batches }, k) => [steps[k], batches[name]]), ui.ink.purple, 2.2);
        ui.data.checkpoints.forEach(({ own }, k) => ring(context, ui, x(steps[k]), y(own[name]), 2.2));
      });
      line(context, ui, here, 0, here, LOSSES.length * high, ui.ink.ink, 1.6);
      LOSSES.forEach((name, n) => {
        const y = (value) => (n + 0.96 - 0.9 * Math.min(value / lab.most[name], 1)) * high;
        dot(context, ui, here, y(lab.now.batches[name]), 4.5, ui.ink.purple);
        ring(context, ui, here, y(lab.now.own[name]), 4.5);
      });
      for (const step of TICKS.filter((tick) => tick <= steps.at(-1))) {
        const most = 0.12 * width;
        text(context, ui, `${step}`, clamp(x(step), 0.02 * width, 0.95 * width), (LOSSES.length + 0.17) * high,
          { size: 12, colour: ui.ink.quiet, most });
      }
    },
  });
  const nearest = (x) => {
    const away = steps.map((step) => Math.abs(stretched(step) - x));
    return away.indexOf(Math.min(...away));
  };
  const told = (loss) => loss.toFixed(DIGITS);
  const cursor = handle(ui, on, {
    label: (state) => ui.t("cursor", { step: lab.step(state) }),
    place: () => [0, 0, 1, 1],
    step: () => [1, 1],
    tap: (x, y, from) => from && lab.go(from.checkpoint + x - y), // by arrow key: steps
    paint: (x) => lab.go(nearest(x)),
  });
  cursor.style.touchAction = "pan-y"; // across is ours, up and down scrolls the page
  cursor.style.cursor = "ew-resize";
  const small = "min-width:0;align-self:center;font-size:.9em;line-height:1.2";
  const rows = LOSSES.map((name) => make("div", { style: small },
    ui.t(name), reading(ui, name, () => `— ${told(lab.now.batches[name])}  ○ ${told(lab.now.own[name])}`,
      { class: "mw-quiet", style: "white-space:pre" })));
  on.style.gridArea = `1 / 2 / ${LOSSES.length + 2} / 3`;
  const sizes = `grid-template-rows:repeat(${LOSSES.length},minmax(0,1fr)) minmax(0,${AXIS}fr)`;
  return make("div", { style: "min-width:0" },
    make("div", { style: `display:grid;column-gap:.6em;grid-template-columns:9.6em minmax(0,1fr);${sizes}` },
      ...rows, make("div", { class: "mw-caption mw-quiet" }, ui.t("axis")), on),
    make("div", { class: "mw-caption mw-quiet", style: "margin-top:.3em" }, ui.t("legend")));
}

function ring(context, ui, x, y, radius) {
  context.beginPath();
  context.arc(x, y, radius * ui.u, 0, 2 * Math.PI);
  context.fillStyle = ui.ink.paper;
  context.fill();
  context.lineWidth = 1.3 * ui.u;
  context.strokeStyle = ui.ink.ink;
  context.stroke();
}
export default { render };
