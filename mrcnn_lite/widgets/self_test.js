// Self-test: that this text is replaced by a green field says that scripts run; dragging and keys are then tried out.

const RING = [0.8, 0.65];

export function inRing([x, y]) {
  return Math.hypot((x - RING[0]) * 2, y - RING[1]) < 0.16; // the field is twice as wide as high
}

export function render({ model, el }) {
  return frame({ model, el }, (ui) => {
    const at = (state) => ({ x: number(state.dot[0]), y: number(state.dot[1]) });
    const draw = (context, width, height, state) => {
      context.fillStyle = ui.ink.panel;
      context.fillRect(0, 0, width, height);
      const place = ([x, y]) => [x * width, y * height];
      context.lineWidth = 3 * ui.u;
      context.strokeStyle = ui.ink.green;
      context.setLineDash(inRing(state.dot) ? [] : [6 * ui.u, 5 * ui.u]);
      context.beginPath();
      context.arc(...place(RING), 0.16 * height, 0, 2 * Math.PI);
      context.stroke();
      context.setLineDash([]);
      line(context, ui, ...place(SPEC.state.dot), ...place(state.dot), ui.ink.blue);
      dot(context, ui, ...place(state.dot), 12, ui.ink.blue);
    };
    const field = surface(ui, { ratio: 2, label: (state) => ui.t("canvas", at(state)), draw });
    if (ui.state.works) {
      const button = handle(ui, field, {
        label: (state) => ui.t("dot", at(state)),
        place: (state) => state.dot,
        step: () => [0.02, 0.04],
        move: (dx, dy, from, byKey) => {
          const dot = [clamp(from.dot[0] + dx, 0.05, 0.95), clamp(from.dot[1] + dy, 0.08, 0.92)];
          ui.set({ dot, key: ui.state.key || Boolean(byKey), dragged: ui.state.dragged || (!byKey && inRing(dot)) });
        },
        dot: true,
      });
      button.classList.add("mw-bare"); // the canvas draws it
    }
    const check = (label, done) => {
      const mark = make("b", {});
      const word = make("span", { class: "mw-quiet", style: "white-space:nowrap" });
      ui.update((state) => {
        mark.textContent = done(state) ? "✓" : "○";
        mark.style.color = done(state) ? ui.ink.green : ui.ink.quiet;
        word.textContent = ` (${ui.t(done(state) ? "done" : "open")})`;
      });
      mark.setAttribute("aria-hidden", "true");
      return make("li", { style: "margin:.3em 0" }, mark, ` ${label}`, word);
    };
    const head = make("p", { style: "font-size:1.35em;font-weight:650;line-height:1.25;margin:0 0 .5em" });
    ui.update((state) => {
      head.textContent = `${state.works ? "✓ " : ""}${ui.t(state.works ? "yes" : "no")}`;
      head.style.color = state.works ? ui.ink.green : ui.ink.quiet;
    });
    ui.bare = !ui.state.works; // the picture that stands in for the widget has nothing to press
    if (ui.bare) {
      const todo = ["no1", "no2", "no3", "no4"].map((key) => make("div", {}, ui.t(key)));
      return [make("div", { style: "white-space:pre-wrap;line-height:1.9;color:var(--quiet)" }, head, ...todo)];
    }
    return [make("div", { class: "mw-grid", style: "grid-template-columns:minmax(0,1.1fr) minmax(0,1fr)" },
      make("div", {}, field),
      make("div", {}, head,
        make("ul", { style: "list-style:none;margin:0 0 .8em;padding:0" },
          check(ui.t("script"), () => true), check(ui.t("drag"), (s) => s.dragged), check(ui.t("keys"), (s) => s.key)),
        reading(ui, "place", (state) => ui.t("place", at(state)), { class: "mw-read" })))];
  });
}
export default { render };
