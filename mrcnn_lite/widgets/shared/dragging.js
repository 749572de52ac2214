// Dragging: things that move on a surface by mouse, touch and arrow keys, and boxes made of them.

const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

function placed(element) {
  // The answer puts the element to [x, y] or [x, y, width, height], fractions of what it lies in. WHY it keeps them: a
  // style that is set makes the browser work even where nothing changes.
  const shown = [];
  return (where) => ["left", "top", "width", "height"].forEach((side, k) => {
    if (where[k] !== shown[k]) element.style[side] = `${100 * (shown[k] = where[k])}%`;
  });
}

function handle(ui, on, { label, place, move, tap, paint, press, step, dot = false, colour, within = on }) {
  // Positions and distances are fractions of the surface. place(state) -> [x, y] or [x, y, width, height];
  // move(dx, dy, from, byKey): so far away from the state `from`; tap(x, y): pressed and let go at one place;
  // step(state) -> [x, y] of one arrow key, ten with Shift. Without `move`, arrow keys call tap(dx, dy, from).
  // paint(x, y, first): everywhere the pointer goes while it is down; press(): Enter or space. The button lies `within`
  // the surface or an element on it, of which place(state) is then a fraction.
  const button = make("button", { type: "button", class: `mw-handle${dot ? " mw-dot" : ""}`,
    "data-drag": Boolean(move ?? paint) });
  let from = null;
  let down = null;
  let moved = false;
  const fraction = (event) => {
    const box = on.getBoundingClientRect();
    return [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
  };
  button.addEventListener("pointerdown", (event) => {
    if (event.button > 0) return;
    button.setPointerCapture(event.pointerId);
    [from, down, moved] = [structuredClone(ui.state), fraction(event), false];
    ui.dragging = true; // labels, which nobody reads meanwhile, wait until it ends
    paint?.(...down, true);
  });
  button.addEventListener("pointermove", (event) => {
    if (!down) return;
    const [x, y] = fraction(event);
    moved ||= Math.hypot(x - down[0], y - down[1]) * on.clientWidth > 3;
    if (moved && move) move(x - down[0], y - down[1], from, false);
    paint?.(x, y, false);
  });
  const up = (event) => {
    if (down && !moved && tap && event.type === "pointerup") tap(...fraction(event));
    down = null;
    ui.dragging = false;
    ui.soon();
  };
  button.addEventListener("pointerup", up);
  button.addEventListener("pointercancel", up);
  button.addEventListener("click", (event) => event.detail === 0 && press?.()); // 0: not by a pointer
  button.addEventListener("keydown", (event) => {
    if (!(event.key in ARROWS) || !step) return;
    event.preventDefault();
    const [[right, below], [x, y]] = [ARROWS[event.key], step(ui.state)];
    const times = event.shiftKey ? 10 : 1;
    (move ?? tap)(right * x * times, below * y * times, structuredClone(ui.state), true);
  });
  const shown = {};
  const changes = (key, value) => {
    if (shown[key] === value) return false;
    shown[key] = value;
    return true;
  };
  const put = placed(button);
  ui.update((state) => {
    put(place(state));
    if (colour && changes("colour", colour(state))) button.style.setProperty("--dot", shown.colour);
    if (!ui.dragging && changes("label", label(state))) button.setAttribute("aria-label", shown.label);
  });
  within.append(button);
  return button;
}

function boxHandles(ui, on, { name, get, set, extent, snap = 0.5, least = 1, tap, colour }) {
  // A box [x1, y1, x2, y2] to drag and resize inside [0, 0, ...extent(state)]: its body and its four corners.
  const round = (value) => Math.round(value / snap) * snap;
  const said = (state) => get(state).map((v) => number(v, 1)).join(", ");
  const step = (state) => extent(state).map((side) => snap / side);
  const within = make("div", { class: "mw-box" }); // WHY: it alone moves; the five handles stay where they are on it
  const put = placed(within);
  on.append(within);
  ui.update((state) => {
    const [[x1, y1, x2, y2], [w, h]] = [get(state), extent(state)];
    put([x1 / w, y1 / h, (x2 - x1) / w, (y2 - y1) / h]);
  });
  const body = handle(ui, on, {
    within,
    label: (state) => ui.t("move_box", { name, box: said(state) }),
    place: () => [0, 0, 1, 1],
    move: (dx, dy, from) => {
      const [[x1, y1, x2, y2], [w, h]] = [get(from), extent(from)];
      const x = clamp(round(x1 + dx * w), 0, w - (x2 - x1));
      const y = clamp(round(y1 + dy * h), 0, h - (y2 - y1));
      set([x, y, x + x2 - x1, y + y2 - y1]);
    },
    tap,
    step,
  });
  const corners = [[0, 1], [2, 1], [0, 3], [2, 3]].map(([kx, ky]) => handle(ui, on, {
    label: (state) => ui.t("move_corner", { name, corner: ui.t(`corner${kx}${ky}`), box: said(state) }),
    within,
    place: () => [kx / 2, (ky - 1) / 2],
    move: (dx, dy, from) => {
      const [box, [w, h]] = [[...get(from)], extent(from)];
      const [x, y] = [round(box[kx] + dx * w), round(box[ky] + dy * h)];
      box[kx] = kx === 2 ? clamp(x, box[0] + least, w) : clamp(x, 0, box[2] - least);
      box[ky] = ky === 3 ? clamp(y, box[1] + least, h) : clamp(y, 0, box[3] - least);
      set(box);
    },
    step,
    dot: true,
    colour,
  }));
  return [body, ...corners];
}
