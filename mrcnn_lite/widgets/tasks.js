// Four tasks on one scene: what classification, semantic segmentation, detection and instance segmentation say of it.

const IMAGE = 256; // pixels a side of the picture that is spoken of
const SIDE = 128; // cells a side of the label maps that are computed: each two pixels
const OBJECTS = [ // painted in this order, the later over the earlier
  { kind: "disc", half: [42, 42], colour: "blue" },
  { kind: "disc", half: [36, 36], colour: "orange" },
  { kind: "post", half: [13, 66], colour: "purple" },
];
const CLASS_COLOURS = { disc: "green", post: "purple" };
const KINDS = ["disc", "post"];

export function labelMap(centres) {
  // For each cell the number of the object that is seen there, -1 for none.
  const map = new Array(SIDE * SIDE).fill(-1);
  const scale = IMAGE / SIDE;
  OBJECTS.forEach(({ kind, half: [w, h] }, n) => {
    const [cx, cy] = centres[n];
    for (let i = 0; i < SIDE; i++) {
      const y = ((i + 0.5) * scale - cy) / h;
      if (Math.abs(y) >= 1) continue;
      for (let j = 0; j < SIDE; j++) {
        const x = ((j + 0.5) * scale - cx) / w;
        if (kind === "disc" ? x * x + y * y < 1 : Math.abs(x) < 1) map[i * SIDE + j] = n;
      }
    }
  });
  return map;
}

export function answers(centres) {
  // What the four tasks would say if they made no mistake.
  const map = labelMap(centres);
  const classes = map.map((n) => (n < 0 ? "" : OBJECTS[n].kind));
  const pixels = OBJECTS.map((_, n) => map.filter((value) => value === n).length * (IMAGE / SIDE) ** 2);
  const seen = OBJECTS.map((_, n) => n).filter((n) => pixels[n] > 0);
  return {
    map, classes, seen, pixels,
    present: KINDS.filter((kind) => classes.includes(kind)),
    parts: { disc: connectedParts(classes, SIDE, "disc"), post: connectedParts(classes, SIDE, "post") },
    boxes: seen.map((n) => boxOf(map, SIDE, n).map((v) => (v * IMAGE) / SIDE)),
  };
}

export function render({ model, el }) {
  return frame({ model, el }, (ui) => {
    const lab = { ui, now: null };
    ui.prepare = ({ centres }) => (lab.now = answers(centres));
    const says = ({ task }) => {
      const { present, parts, seen, pixels } = lab.now;
      const classes = present.map((kind) => ui.t(kind)).join(", ");
      const visible = seen.map((n) => pixels[n]).join(", ");
      return ui.t(`says_${task}`, { ...parts, classes, count: seen.length, pixels: visible });
    };
    lab.says = says;
    const tensor = ({ task }) => ui.t(`t_${task}`, { count: lab.now.seen.length });
    return [
      make("div", { class: "mw-row" }, choice(ui, "task", ui.t("task"), SPEC.choices.task.map((task) => ui.t(task)))),
      make("div", { class: "mw-grid", style: "grid-template-columns:minmax(0,1fr) minmax(0,1.05fr)" }, scene(lab),
        make("div", { style: "display:grid;gap:.6em;min-width:0" },
          reading(ui, "says", says, { style: "font-size:1.2em;line-height:1.35;min-height:2.7em" }),
          make("div", {}, make("p", { class: "mw-caption mw-quiet" }, ui.t("tensor")),
            reading(ui, "tensor", tensor, { class: "mw-read", style: "min-height:10.5em" })), counts(lab))),
    ];
  });
}

const really = (kind) => OBJECTS.filter((object) => object.kind === kind).length;

export function counted(task, kind, { present, parts, seen }) {
  // How many objects of a kind an answer tells of; null: it tells only that there is one.
  if (task === "classification") return present.includes(kind) ? null : 0;
  return task === "semantic" ? parts[kind] : seen.filter((n) => OBJECTS[n].kind === kind).length;
}

function counts(lab) {
  // A row a task: the objects that it counts, and last the truth.
  const { ui } = lab;
  const cell = (tag, ...words) => make(tag, { style: "padding:.2em .5em;text-align:left" }, ...words);
  const rows = SPEC.choices.task.map((task) => {
    const numbers = KINDS.map((kind) => reading(ui, `count-${task}-${kind}`, () => {
      const count = counted(task, kind, lab.now);
      return `${count ?? "≥ 1"} ${count === really(kind) ? "✓" : "✕"}`;
    }));
    const row = make("tr", { style: "border-top:1px solid var(--line)" },
      cell("td", ui.t(task)), ...numbers.map((number) => cell("td", number)));
    ui.update((state) => {
      row.style.background = state.task === task ? "var(--panel)" : "none";
      row.style.fontWeight = state.task === task ? 650 : 400;
    });
    return row;
  });
  const truth = make("tr", { class: "mw-quiet", style: "border-top:2px solid var(--line)" },
    cell("td", ui.t("truth")), ...KINDS.map((kind) => cell("td", `${really(kind)}`)));
  const head = make("tr", {}, ...["counts", "discs", "posts"].map((key) => cell("th", ui.t(key))));
  return make("table", { style: "border-collapse:collapse;width:100%;line-height:1.25" }, make("thead", {}, head),
    make("tbody", {}, ...rows, truth));
}

function scene(lab) {
  const { ui } = lab;
  const on = surface(ui, {
    label: (state) => ui.t("picture", { task: ui.t(state.task), answer: lab.says(state) }),
    draw: (context, width, height, { task }) => {
      const { map, seen, boxes, present } = lab.now;
      const grey = (n) => mix(ui.ink.low, ui.ink.high, [0.55, 0.75, 0.95][n]);
      const paint = {
        classification: grey,
        detection: grey,
        semantic: (n) => ui.ink[CLASS_COLOURS[OBJECTS[n].kind]],
        instance: (n) => ui.ink[OBJECTS[n].colour],
      }[task];
      const ground = mix(ui.ink.low, ui.ink.high, 0.12);
      const edge = (k) => Math.round((k * width) / SIDE); // whole pixels: no seams between the rows
      for (let i = 0; i < SIDE; i++) {
        for (let j = 0, end = 0; j < SIDE; j = end) { // a run of equal cells is one rectangle
          const n = map[i * SIDE + j];
          for (end = j; end < SIDE && map[i * SIDE + end] === n; end++);
          context.fillStyle = n < 0 ? ground : paint(n);
          context.fillRect(edge(j), edge(i), edge(end) - edge(j), edge(i + 1) - edge(i));
        }
      }
      const tag = (words, x, y, colour) => {
        context.font = `650 ${13 * ui.u}px ${FONT}`;
        const wide = context.measureText(words).width + 12 * ui.u;
        context.fillStyle = colour;
        context.fillRect(x, y, wide, 20 * ui.u);
        text(context, ui, words, x + wide / 2, y + 10 * ui.u, { weight: 650, colour: upon(ui, colour) });
      };
      if (task === "classification") {
        present.forEach((kind, k) => tag(`✓ ${ui.t(kind)}`, 8, 8 + 26 * k * ui.u, ui.ink[CLASS_COLOURS[kind]]));
      } else if (task === "semantic") {
        present.forEach((kind, k) => tag(ui.t(kind), 8, 8 + 26 * k * ui.u, ui.ink[CLASS_COLOURS[kind]]));
      } else {
        seen.forEach((n, k) => {
          const box = boxes[k].map((v) => (v / IMAGE) * width);
          const colour = task === "detection" ? ui.ink[CLASS_COLOURS[OBJECTS[n].kind]] : ui.ink[OBJECTS[n].colour];
          outline(context, ui, box, colour, { width: 3 });
          tag(`${ui.t(OBJECTS[n].kind)} ${n + 1}`, box[0], Math.max(box[1] - 20 * ui.u, 0), colour);
        });
      }
    },
  });
  OBJECTS.forEach(({ kind, half: [w, h] }, n) => handle(ui, on, {
    label: ({ centres: { [n]: [x, y] } }) =>
      ui.t("object", { name: ui.t(kind), number: n + 1, x: number(x), y: number(y) }),
    place: ({ centres: { [n]: [x, y] } }) => [x - w, y - h, 2 * w, 2 * h].map((v) => v / IMAGE),
    step: () => [1 / IMAGE, 1 / IMAGE],
    move: (dx, dy, from) => {
      const to = (at, by) => clamp(Math.round(at + by * IMAGE), 16, IMAGE - 16);
      const moved = [to(from.centres[n][0], dx), to(from.centres[n][1], dy)];
      ui.set({ centres: ui.state.centres.map((centre, k) => (k === n ? moved : centre)) });
    },
  }));
  return on;
}
export default { render };
