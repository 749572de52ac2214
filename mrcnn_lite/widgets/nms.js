// NMS as steps that can be taken forwards and backwards, on boxes that can be dragged; Soft-NMS beside it.

const IMAGE = 256; // pixels a side
const SIGMA = 0.5; // of Soft-NMS
const LEAST = 0.05; // a score below is no detection
const OBJECTS = [[3, 0.55], [0, 0.75], [5, 1]]; // what is to be seen fills these boxes; their tones of grey
const SIGNS = { kept: "✓", gone: "✕", waiting: "·" };

export function outcome({ boxes, scores, labels, threshold, step, per_class, soft }) {
  // Of every box {status, by, iou, score}, after `step` boxes were kept; `steps` is how many there are in all.
  const groups = labels.map((label) => (per_class ? label : "all"));
  const fate = scores.map((score) => ({ status: "waiting", score }));
  if (soft) {
    for (const box of fate) box.status = "gone";
    for (const [k, score] of softNms(boxes, scores, groups, SIGMA, 0)) {
      fate[k] = { status: score < LEAST ? "gone" : "kept", score };
    }
    return { fate, steps: 0, current: -1 };
  }
  const steps = nmsSteps(boxes, scores, groups, threshold);
  for (const { kept, gone } of steps.slice(0, step)) {
    fate[kept].status = "kept";
    for (const [k, overlap] of gone) fate[k] = { ...fate[k], status: "gone", by: kept, iou: overlap };
  }
  return { fate, steps: steps.length, current: step > 0 ? steps[Math.min(step, steps.length) - 1].kept : -1 };
}

export function render({ model, el }) {
  return frame({ model, el }, (ui) => {
    const lab = { ui, now: null };
    ui.prepare = (state) => {
      lab.order = byScore(state.scores);
      lab.now = outcome(state);
    };
    lab.name = (k) => "ABCDEFGHIJKL"[lab.order.indexOf(k)]; // by falling score
    lab.status = (k, state) => {
      const { status, by, iou, score } = lab.now.fate[k];
      const [from, to] = [state.scores[k].toFixed(2), score.toFixed(2)];
      if (state.soft && status === "gone") return ui.t("below", { to });
      if (state.soft) return from === to ? ui.t("kept") : ui.t("lowered", { from, to });
      return status === "gone" ? ui.t("gone", { iou: iou.toFixed(2), by: lab.name(by) }) : ui.t(status);
    };
    const go = (by) => ui.set({ step: clamp(Math.min(ui.state.step, lab.now.steps) + by, 0, lab.now.steps) });
    const walk = (sign, by, label) => {
      const button = make("button", { type: "button", class: "mw-button", title: label, "aria-label": label,
        "data-walk": by, click: () => go(by) }, sign);
      ui.update(({ step, soft }) => (button.disabled = soft || (by < 0 ? step <= 0 : step >= lab.now.steps)));
      return button;
    };
    const count = (status) => lab.now.fate.filter((box) => box.status === status).length;
    const summary = ({ step, soft }) => {
      const parts = { kept: count("kept"), gone: count("gone"), left: count("waiting") };
      return ui.t(soft ? "sum_soft" : step ? "sum" : "sum_start", parts);
    };
    const steps = reading(ui, "step", ({ step, soft }) =>
      soft ? "–" : `${Math.min(step, lab.now.steps)} / ${lab.now.steps}`, { style: "min-width:3em;text-align:center" });
    const threshold = slider(ui, "threshold", ui.t("threshold"), { min: 0.1, max: 0.9, step: 0.05 });
    ui.update(({ soft }) => (threshold.querySelector("input").disabled = soft)); // Soft-NMS knows none
    const title = reading(ui, "scene", ({ boxes }) => ui.t("scene", { count: boxes.length }),
      { class: "mw-caption mw-quiet" });
    return [
      make("div", { class: "mw-row" }, make("span", { class: "mw-field" }, ui.t("step"), walk("←", -1, ui.t("back")),
        steps, walk("→", 1, ui.t("forward"))),
      threshold,
      toggle(ui, "per_class", ui.t("per_class")), toggle(ui, "soft", ui.t("soft"))),
      make("div", { class: "mw-grid", style: "grid-template-columns:minmax(0,1fr) minmax(0,1.1fr)" },
        make("div", {}, title, picture(lab)),
        make("div", { style: "min-width:0" }, table(lab),
          reading(ui, "summary", summary, { class: "mw-read", style: "margin-top:.6em" }))),
    ];
  });
}

function figure(context, ui, kind, [x1, y1, x2, y2], tone) {
  // A person or a dog that fills its box, in image pixels, in greys; drawn in a square of 100 x 100.
  context.save();
  context.translate(x1, y1);
  context.scale((x2 - x1) / 100, (y2 - y1) / 100);
  context.fillStyle = mix(ui.ink.low, ui.ink.high, tone);
  const oval = (x, y, rx, ry) => {
    context.beginPath();
    context.ellipse(x, y, rx, ry, 0, 0, 2 * Math.PI);
    context.fill();
  };
  const block = (x, y, w, h, round = 0) => {
    context.beginPath();
    context.roundRect(x, y, w, h, round);
    context.fill();
  };
  if (kind === "person") {
    oval(50, 13, 24, 12);
    block(6, 27, 88, 42, 14);
    block(18, 60, 26, 39);
    block(56, 60, 26, 39);
  } else {
    oval(46, 52, 40, 22);
    oval(82, 26, 16, 15);
    for (const x of [18, 36, 54, 72]) block(x, 62, 9, 37);
  }
  context.restore();
}

function picture(lab) {
  const { ui } = lab;
  const style = (k, state) => {
    const { status } = lab.now.fate[k];
    const colour = status === "gone" ? ui.ink.quiet : state.labels[k] === "dog" ? ui.ink.purple : ui.ink.blue;
    const gone = status === "gone";
    return { colour, width: status === "kept" ? 3.5 : 1.5, dash: gone ? [3, 4] : [], halo: !gone };
  };
  const list = (state) => lab.order.map((k) => `${lab.name(k)} ${lab.status(k, state)}`).join(", ");
  const on = surface(ui, {
    label: (state) => ui.t("picture", { list: list(state) }),
    draw: (context, width, height, state) => {
      context.save();
      context.scale(width / IMAGE, width / IMAGE);
      context.fillStyle = mix(ui.ink.low, ui.ink.high, 0.12);
      context.fillRect(0, 0, IMAGE, IMAGE);
      context.fillStyle = mix(ui.ink.low, ui.ink.high, 0.3);
      context.fillRect(0, 200, IMAGE, 56);
      for (const [k, tone] of OBJECTS) figure(context, ui, state.labels[k], state.boxes[k], tone);
      context.restore();
      for (const k of [...lab.order].reverse()) { // the best on top
        const [x1, y1, x2, y2] = state.boxes[k].map((v) => (v / IMAGE) * width);
        const { colour, ...how } = style(k, state);
        if (k === lab.now.current) {
          context.fillStyle = colour;
          context.globalAlpha = 0.15;
          context.fillRect(x1, y1, x2 - x1, y2 - y1);
          context.globalAlpha = 1;
        }
        outline(context, ui, [x1, y1, x2, y2], colour, how);
      }
      lab.order.forEach((k, n) => { // the names on tabs, above all boxes: left, right and middle in turn
        const [x1, y1, x2] = state.boxes[k].map((v) => (v / IMAGE) * width);
        const [w, h] = [29 * ui.u, 17 * ui.u];
        const x = x1 + [0, 1, 0.5][n % 3] * (x2 - x1 - w);
        context.fillStyle = style(k, state).colour;
        context.fillRect(x, y1 - 1, w, h);
        const words = `${lab.name(k)} ${SIGNS[lab.now.fate[k].status]}`;
        text(context, ui, words, x + w / 2, y1 + h / 2, { size: 12, weight: 650, colour: ui.ink.paper });
      });
    },
  });
  ui.state.boxes.forEach((_, k) => {
    const button = handle(ui, on, { // the whole box moves it; the name on its tab says which
      label: (state) => ui.t("box", { name: lab.name(k), label: ui.t(state.labels[k]), score: number(state.scores[k]),
        status: lab.status(k, state) }),
      place: ({ boxes }) => {
        const [x1, y1, x2, y2] = boxes[k].map((v) => v / IMAGE);
        return [x1, y1, x2 - x1, y2 - y1];
      },
      step: () => [1 / IMAGE, 1 / IMAGE],
      move: (dx, dy, from) => {
        const [x1, y1, x2, y2] = from.boxes[k];
        const x = clamp(Math.round(x1 + dx * IMAGE), 0, IMAGE - (x2 - x1));
        const y = clamp(Math.round(y1 + dy * IMAGE), 0, IMAGE - (y2 - y1));
        const box = [x, y, x + x2 - x1, y + y2 - y1];
        ui.set({ boxes: ui.state.boxes.map((other, n) => (n === k ? box : other)) });
      },
    });
    ui.update(({ boxes }) => (button.style.zIndex = 1 + Math.round(100 * (1 - area(boxes[k]) / IMAGE ** 2))));
  });
  return on;
}

function table(lab) {
  // One row a box, by falling score: name, score as a bar, and what becomes of it.
  const { ui } = lab;
  const cell = (tag, words, style = "") => make(tag, { style: `padding:.28em .4em;text-align:left;${style}` }, words);
  const head = make("tr", {}, ...["box", "score", "status"].map((name) => cell("th", ui.t(`head_${name}`))));
  const rows = ui.state.boxes.map((_, n) => {
    const name = cell("td", "", "white-space:nowrap");
    const bar = make("div", { style: "height:.6em;border-radius:.2em;background:var(--blue)" });
    const score = make("span", { style: "display:inline-block;width:2.6em" });
    const status = cell("td", "");
    ui.update((state) => {
      const k = lab.order[n];
      const fate = lab.now.fate[k];
      name.textContent = `${lab.name(k)}  ${ui.t(state.labels[k])}`;
      score.textContent = (state.soft ? fate.score : state.scores[k]).toFixed(2);
      bar.style.width = `${55 * (state.soft ? fate.score : state.scores[k])}%`;
      const paint = state.labels[k] === "dog" ? "purple" : "blue";
      bar.style.background = `var(--${fate.status === "gone" ? "line" : paint})`;
      status.textContent = `${SIGNS[fate.status]} ${lab.status(k, state)}`;
      status.style.fontWeight = fate.status === "kept" ? 650 : 400;
      row.style.color = fate.status === "gone" ? "var(--quiet)" : "var(--ink)";
      row.style.background = k === lab.now.current ? "var(--panel)" : "none";
    });
    const both = make("div", { style: "display:flex;align-items:center;min-width:6em" }, score, bar);
    const row = make("tr", { style: "border-top:1px solid var(--line);height:2.35em", "data-row": n }, name,
      make("td", { style: "width:38%;padding:0 .4em" }, both), status);
    return row;
  });
  return make("table", { style: "border-collapse:collapse;width:100%;line-height:1.2" }, make("thead", {}, head),
    make("tbody", {}, ...rows));
}
export default { render };
