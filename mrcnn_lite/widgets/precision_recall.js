// Precision and recall: detections as points over score and IoU, two thresholds to drag, and the curve with its AP.

const OBJECTS = [0, 1, 2, -1, 3, 4, 5, 6, -1, 7, 1, -1, 8, -1]; // which object each detection is of; -1: background
const COUNT = 10; // objects: one, number 9, is found by nobody
const THRESHOLDS = Array.from({ length: 10 }, (_, n) => (50 + 5 * n) / 100);

export function figures({ scores, iou, score, kind, ...state }) {
  const overlaps = state[kind];
  const at = (threshold) => {
    const judged = judge(scores, overlaps, OBJECTS, threshold);
    return { judged, ...averagePrecision(judged.map(({ right }) => right), COUNT) };
  };
  const { judged, ap, points } = at(iou);
  const shown = judged.filter(({ k }) => scores[k] >= score);
  const hits = shown.filter(({ right }) => right).length;
  const [ap50, ap75] = [at(0.5).ap, at(0.75).ap];
  return {
    judged, ap, points, ap50, ap75, hits, false: shown.length - hits, missed: COUNT - hits,
    mean: THRESHOLDS.reduce((total, threshold) => total + at(threshold).ap, 0) / THRESHOLDS.length,
    curve: precisionRecall(judged.map(({ right }) => right), COUNT),
    precision: shown.length ? hits / shown.length : 1,
    recall: hits / COUNT,
  };
}

export function render({ model, el }) {
  return frame({ model, el }, (ui) => {
    const lab = { ui, now: null };
    ui.prepare = (state) => (lab.now = figures(state));
    lab.margin = 0.09; // of a chart, on its left and below
    const span = 0.97 - lab.margin;
    lab.place = ([x, y], w = 1, h = 1) => [(lab.margin + x * span) * w, (0.03 + (1 - y) * span) * h];
    lab.verdict = (k) => {
      const { right, double } = lab.now.judged.find((one) => one.k === k);
      return right ? "hit" : double ? "double" : "false";
    };
    const result = ({ iou }) => {
      const { hits, false: wrong, ...others } = lab.now;
      const names = ["precision", "recall", "ap", "mean", "ap50", "ap75"];
      const three = Object.fromEntries(names.map((name) => [name, others[name].toFixed(3)]));
      return ui.t("result", { ...three, hits, false: wrong, count: COUNT, iou: number(iou) });
    };
    const tile = (key, label, colour, sign) => make("span", { style: "white-space:nowrap" },
      make("span", { style: `color:var(--${colour})`, "aria-hidden": "true" }, `${sign} `), `${ui.t(label)} `,
      reading(ui, key, () => `${lab.now[key]}`, { style: "display:inline;font-weight:650" }));
    const captioned = (key, on) => make("div", { style: "min-width:0" },
      make("p", { class: "mw-caption mw-quiet" }, ui.t(key)), on);
    return [
      make("div", { class: "mw-row" },
        choice(ui, "kind", ui.t("kind"), [ui.t("by_box"), ui.t("by_mask")]),
        tile("hits", "hits", "green", "●"), tile("false", "falses", "red", "✕"), tile("missed", "misses", "quiet", "–"),
        make("span", { class: "mw-quiet" }, ui.t("objects"))),
      make("div", { class: "mw-grid", style: "grid-template-columns:repeat(2,minmax(0,1fr))" },
        captioned("scatter", scatter(lab)), captioned("curve", curve(lab))),
      reading(ui, "result", result, { class: "mw-read", style: "margin-top:.7em;min-height:4.2em" }),
    ];
  });
}

function axes(lab, context, width, height) {
  const { ui } = lab;
  for (let n = 0; n <= 5; n++) {
    const [x0, y0] = lab.place([n / 5, 0], width, height);
    const [, y] = lab.place([0, n / 5], width, height);
    const [left] = lab.place([0, 0], width, height);
    line(context, ui, x0, 0.03 * height, x0, y0, ui.ink.line, 1);
    line(context, ui, left, y, 0.97 * width, y, ui.ink.line, 1);
    text(context, ui, number(n / 5), x0, y0 + 11 * ui.u, { size: 12, colour: ui.ink.quiet });
    text(context, ui, number(n / 5), left - 5, y, { size: 12, align: "right", colour: ui.ink.quiet });
  }
}

function scatter(lab) {
  const { ui } = lab;
  const on = surface(ui, {
    label: ({ scores, score, iou }) => ui.t("scatter_label",
      { count: scores.length, hits: lab.now.hits, false: lab.now.false, score: number(score), iou: number(iou) }),
    draw: (context, width, height, state) => {
      const at = (x, y) => lab.place([x, y], width, height);
      const [[x, y], [right, top]] = [at(state.score, state.iou), at(1, 1)];
      context.fillStyle = mix(ui.ink.low, rgb(ui.ink.green), 0.14);
      context.fillRect(x, top, right - x, y - top);
      axes(lab, context, width, height);
      line(context, ui, ...at(state.score, 0), ...at(state.score, 1), ui.ink.ink, 2.5);
      line(context, ui, ...at(0, state.iou), ...at(1, state.iou), ui.ink.ink, 2.5, [7, 4]);
      state.scores.forEach((value, k) => {
        const [px, py] = at(value, state[state.kind][k]);
        const verdict = lab.verdict(k);
        context.globalAlpha = value >= state.score ? 1 : 0.45;
        if (verdict === "hit") dot(context, ui, px, py, 7, ui.ink.green);
        else if (verdict === "double") {
          context.beginPath();
          context.arc(px, py, 6 * ui.u, 0, 2 * Math.PI);
          context.lineWidth = 3 * ui.u;
          context.strokeStyle = ui.ink.red;
          context.stroke();
        } else {
          const s = 6 * ui.u;
          line(context, ui, px - s, py - s, px + s, py + s, ui.ink.red, 3.5);
          line(context, ui, px - s, py + s, px + s, py - s, ui.ink.red, 3.5);
        }
        context.globalAlpha = 1;
      });
    },
  });
  const span = 0.97 - lab.margin; // of the chart, from 0 to 1
  const near = (value) => clamp(Math.round(value * 100) / 100, 0, 1);
  ui.state.scores.forEach((_, k) => {
    const button = handle(ui, on, {
      label: (state) => ui.t("point", { number: k + 1, score: number(state.scores[k]),
        iou: number(state[state.kind][k]), verdict: ui.t(lab.verdict(k)) }),
      place: (state) => lab.place([state.scores[k], state[state.kind][k]]),
      step: () => [0.01 * span, 0.01 * span],
      move: (dx, dy, from) => {
        const changed = (list, by) => list.map((value, n) => (n === k ? near(value + by / span) : value));
        ui.set({ scores: changed(from.scores, dx), [from.kind]: changed(from[from.kind], -dy) });
      },
      dot: true,
    });
    button.classList.add("mw-bare"); // the canvas draws it
  });
  const grip = (key, place, way) => handle(ui, on, {
    label: (state) => ui.t(`line_${key}`, { value: number(state[key]) }),
    place,
    step: () => [0.01 * span, 0.01 * span],
    move: (dx, dy, from, byKey) => {
      const by = byKey ? (dx - dy) / span : way(dx, dy) / span; // any arrow key moves the line
      ui.set({ [key]: near(from[key] + by) });
    },
    dot: true,
    colour: () => ui.ink.ink,
  });
  grip("score", ({ score }) => lab.place([score, 1]), (dx) => dx);
  grip("iou", ({ iou }) => lab.place([1, iou]), (_, dy) => -dy);
  return on;
}

function curve(lab) {
  const { ui } = lab;
  return surface(ui, {
    label: () => ui.t("curve_label", { ap: number(lab.now.ap, 3), precision: number(lab.now.precision),
      recall: number(lab.now.recall) }),
    draw: (context, width, height) => {
      const at = (x, y) => lab.place([x, y], width, height);
      const { points, precision, recall } = lab.now;
      const [left, bottom] = at(0, 0);
      points.forEach((value, r) => { // AP is the mean height of the 101 bars
        const [x, y] = at(r / 100, value);
        context.fillStyle = mix(ui.ink.low, rgb(ui.ink.blue), 0.22);
        const half = (at(1, 0)[0] - left) / 200;
        context.fillRect(Math.max(x - half, left), y, 2 * half + 1, bottom - y);
      });
      axes(lab, context, width, height);
      const path = lab.now.curve.map((one) => at(one.recall, one.precision));
      path.forEach(([x, y], n) => n && line(context, ui, ...path[n - 1], x, y, ui.ink.quiet, 1.5, [4, 3]));
      points.forEach((value, r) => {
        context.fillStyle = ui.ink.blue;
        context.beginPath();
        context.arc(...at(r / 100, value), 1.9 * ui.u, 0, 2 * Math.PI);
        context.fill();
      });
      dot(context, ui, ...at(recall, precision), 7, ui.ink.ink);
      const words = `AP ${lab.now.ap.toFixed(3)}`;
      text(context, ui, words, ...at(0.03, 0.08), { size: 17, weight: 650, align: "left" });
    },
  });
}
export default { render };
