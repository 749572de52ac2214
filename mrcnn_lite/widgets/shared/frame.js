// The frame of every widget: title, prepared states, reset, text size, theme, language; and the state, kept with the
// model of whoever hosts us. Python joins shared/*.js, then the arithmetic, then the widget: nobody imports anything.
// SPEC (from the widget's JSON file and source.py) and STYLE (from style.css) are constants before this text.

// Okabe and Ito's colours, in two strengths: on paper and panel words need a contrast of 4.5, all else of 3.
const THEMES = {
  light: {
    paper: "#ffffff", panel: "#f4f6f8", line: "#c9d1d9", ink: "#1b1f24", quiet: "#545d68", low: [255, 255, 255],
    high: [138, 147, 160], blue: "#0072b2", red: "#c43c16", green: "#007a59", purple: "#a8487f", orange: "#c17d00",
  },
  dark: {
    paper: "#14181d", panel: "#1f262d", line: "#47515c", ink: "#eef1f4", quiet: "#aab4bf", low: [26, 31, 37],
    high: [100, 110, 123], blue: "#56b4e9", red: "#ff7f66", green: "#2fc79b", purple: "#e29ac4", orange: "#e69f00",
  },
};

function make(tag, attributes = {}, ...children) {
  // An element; functions become listeners, everything else attributes. Text is text: never parsed as HTML.
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(name, value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value != null) element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

const clamp = (value, low, high) => Math.min(Math.max(value, low), high);
const same = (a, b) => JSON.stringify(a) === JSON.stringify(b);

function number(value, digits = 2) {
  // 0.50 -> "0.5", 3.00 -> "3", -0 -> "0"
  const fixed = value.toFixed(digits);
  const short = fixed.includes(".") ? fixed.replace(/\.?0+$/, "") : fixed;
  return short === "-0" ? "0" : short.replace("-", "−");
}

const signed = (value, digits = 2) => (Number(value.toFixed(digits)) > 0 ? "+" : "") + number(value, digits);

// Milliseconds that one step of a drag may work on a frame: of the screen's 16.7, the browser needs most of the rest.
const IN_A_FRAME = 2.5;
// Texts that may follow in a later frame: the browser takes longer to lay them out than we to write them.
const TEXTS_IN_A_FRAME = 4;
const clock = () => performance.now(); // it says when something is drawn, never what

let instances = 0; // radio buttons need a name of their own: counted, not random

function frame({ model, el }, build) {
  // `build(ui)` returns the elements of the widget. ui.state is the state, ui.set(patch) changes it, ui.t(key) is text.
  // What is done after every change: ui.prepare(state), what ui.update(f) has registered, and the first of what
  // ui.draw(f) has; then, as time allows in this frame or a later one, the rest of that and what ui.write(f) has.
  const keys = Object.keys(SPEC.state);
  const start = Object.fromEntries(keys.map((key) => [key, structuredClone(model.get(key))]));
  const isStart = (name) => same({ ...SPEC.state, ...SPEC.presets[name] }, start);
  const first = Object.keys(SPEC.presets).find(isStart) ?? "start"; // the hint that belongs to the first state
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const view = { language: model.get("language"), theme: model.get("theme"), size: model.get("size"), hint: first };
  const root = make("div", { class: "mw" });
  const isPage = el.tagName === "MAIN"; // in a frame of its own
  const note = make("p", { class: "mw-note" });
  const ui = { state: structuredClone(start), root, name: `mw${++instances}`, data: model.get("data") };
  let updates = [];
  let [drawings, writings] = [[], []];
  // What is dragged lies on the first drawing, and waits for nothing; the rest can wait for another frame.
  let head;
  let rest = [];
  let waiting = 0; // for the next frame
  // Whether the state has changed since `refresh`, and what it was then: the rest does not mix it with a newer one.
  let stale = false;
  let shown = start;
  // How many of the rest show an earlier state, whose turn it is, and whether the last frame had no time for any of it.
  let behind = 0;
  let next = 0;
  let owed = false;
  // Drawn in parts are the steps of a drag, and what follows until all shows where it ended.
  let divided = false;

  ui.t = (key, values = {}) => {
    const words = SPEC.texts[view.language][key] ?? key;
    return words.replace(/\{(\w+)\}/g, (whole, name) => (name in values ? values[name] : whole));
  };
  ui.update = (action) => updates.push(action);
  ui.draw = (action) => drawings.push(action);
  ui.write = (action) => writings.push(action);
  const look = () => {
    const theme = view.theme === "auto" ? (dark.matches ? "dark" : "light") : view.theme;
    const em = SPEC.sizes[view.size];
    ui.ink = THEMES[theme];
    ui.u = em / SPEC.sizes.normal; // what a canvas multiplies its lengths by
    for (const [name, value] of Object.entries(ui.ink)) {
      if (typeof value === "string") root.style.setProperty(`--${name}`, value);
    }
    root.style.colorScheme = theme;
    if (isPage) document.documentElement.style.background = ui.ink.paper; // over the picture that stands in for us
    root.style.fontSize = `${em}px`;
    root.dataset.theme = theme;
    root.dataset.narrow = el.clientWidth < SPEC.narrow * em;
  };
  ui.refresh = () => {
    divided ||= ui.dragging;
    const end = clock() + (divided && !ui.resized ? IN_A_FRAME : Infinity);
    if (ui.resized) look(); // WHY not always: asking for widths makes the browser lay everything out, at every step
    [shown, stale] = [{ ...ui.state }, false];
    ui.prepare?.(shown);
    for (const action of updates) action(shown);
    head?.(shown);
    behind = rest.length;
    owed = behind > 0 && clock() > end;
    if (owed) nextFrame();
    else drawUntil(end);
  };
  const drawUntil = (end, texts = Infinity) => {
    // WHY in turns: what is dragged would stutter on a slow machine. The rest has the frames between, a part at least.
    while (behind > 0) {
      const turn = next++ % rest.length;
      rest[turn](shown);
      behind -= 1;
      if (turn >= drawings.length - 1) texts -= 1;
      if (texts === 0 || clock() > end) break;
    }
    owed = false;
    if (behind > 0 || stale) nextFrame();
    else ui.resized = false;
    if (behind > 0) return;
    divided = ui.dragging;
    root.dataset.state = JSON.stringify(shown); // all that is seen shows this state
  };
  const nextFrame = () => {
    waiting ||= requestAnimationFrame(() => {
      waiting = 0;
      if (stale && !(owed && ui.dragging)) ui.refresh();
      else drawUntil(clock() + IN_A_FRAME, TEXTS_IN_A_FRAME);
    });
  };
  ui.soon = () => {
    stale = true;
    nextFrame();
  };
  ui.set = (patch) => {
    for (const [key, value] of Object.entries(patch)) {
      if (same(ui.state[key], value)) continue;
      ui.state[key] = value;
      model.set(key, value);
    }
    model.save_changes();
    ui.soon();
  };
  const listeners = keys.map((key) => [`change:${key}`, () => {
    if (same(ui.state[key], model.get(key))) return; // we said it ourselves
    ui.state[key] = structuredClone(model.get(key));
    ui.soon();
  }]);
  for (const [event, listener] of listeners) model.on(event, listener);

  const prepared = (hint, state) => {
    view.hint = hint;
    note.textContent = ui.t(`hint.${hint}`);
    ui.set(structuredClone(state));
  };
  const turn = (what, values) => {
    const place = [...root.querySelectorAll(".mw-bar button")].indexOf(document.activeElement);
    view[what] = values[(values.indexOf(view[what]) + 1) % values.length];
    rebuild();
    root.querySelectorAll(".mw-bar button")[place]?.focus();
  };
  const button = (label, click, attributes = {}) =>
    make("button", { class: "mw-button", type: "button", click, ...attributes }, label);
  const tool = (label, name, click) => button(label, click, { "aria-label": name, title: name });
  const rebuild = () => {
    [updates, drawings, writings] = [[], [], []];
    root.lang = view.language;
    note.textContent = ui.t(`hint.${view.hint}`);
    const presets = Object.entries(SPEC.presets).map(([name, patch]) =>
      button(ui.t(`preset.${name}`), () => prepared(name, { ...SPEC.state, ...patch }), { "data-preset": name }));
    const themes = () => (root.dataset.theme === "dark" ? ["dark", "light"] : ["light", "dark"]);
    const bar = make("div", { class: "mw-bar" }, make(isPage ? "h1" : "h2", {}, ui.t("title")),
      presets.length ? make("span", { class: "mw-quiet" }, ui.t("try")) : "", ...presets,
      make("span", { class: "mw-tools" }, tool("↺", ui.t("reset"), () => prepared(first, start)),
        tool("Aa", ui.t("size"), () => turn("size", Object.keys(SPEC.sizes))),
        tool("◐", ui.t("theme"), () => turn("theme", themes())),
        tool(ui.t("other_language"), ui.t("language"), () => turn("language", Object.keys(SPEC.texts)))));
    [ui.resized, ui.dragging] = [true, false];
    const parts = build(ui);
    [head, ...rest] = [...drawings, ...writings];
    root.replaceChildren(make("style", {}, STYLE), ...(ui.bare ? [] : [bar, note]), ...parts);
    ui.refresh();
  };

  // Arrow keys are ours while the focus is here: JupyterLab would change the cell. Its own with Ctrl stay its own.
  root.addEventListener("keydown", (event) => event.ctrlKey || event.metaKey || event.stopPropagation());
  el.replaceChildren(root);
  rebuild();
  const relook = () => {
    ui.resized = true;
    ui.soon();
  };
  const resized = new ResizeObserver(relook);
  resized.observe(el);
  dark.addEventListener("change", relook);
  root.dataset.ready = "true";
  return () => {
    resized.disconnect();
    dark.removeEventListener("change", relook);
    cancelAnimationFrame(waiting);
    for (const [event, listener] of listeners) model.off(event, listener);
  };
}
