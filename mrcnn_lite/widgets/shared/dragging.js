// Dragging: things that move on a surface by mouse, touch and arrow keys, and boxes made of them.

const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

function handle(ui, on, { label, place, move, tap, paint, press, step, dot = false, colour }) {
  // Positions and distances are fractions of the surface. place(state) -> [x, y] or [x, y, width, height];
  // move(dx, dy, from, byKey): so far away from the state `from`; tap(x, y): pressed and let go at one place;
  // step(state) -> [x, y] of one arrow key, ten with Shift. Without `move`, arrow keys call tap(dx, dy, from).
  // paint(x, y, first): everywhere the pointer goes while it is down; press(): Enter or space.
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
  const changes = (key, value) => { // WHY: most handles stay where they are while one is dragged
    if (shown[key] === value) return false;
    shown[key] = value;
    return true;
  };
  ui.update((state) => {
    const where = place(state); // without a size the last two stay undefined
    ["left", "top", "width", "height"].forEach((side, k) => {
      if (changes(side, where[k])) button.style[side] = `${100 * where[k]}%`;
    });
    if (colour && changes("colour", colour(state))) button.style.setProperty("--dot", shown.colour);
    if (changes("label", label(state))) button.setAttribute("aria-label", shown.label);
  });
  on.append(button);
  return button;
}

function boxHandles(ui, on, { name, get, set, extent, snap = 0.5, least = 1, tap, colour }) {
  // A box [x1, y1, x2, y2] to drag and resize inside [0, 0, ...extent(state)]: its body and its four corners.
  const round = (value) => Math.round(value / snap) * snap;
  const said = (state) => get(state).map((v) => number(v, 1)).join(", ");
  const step = (state) => extent(state).map((side) => snap / side);
  const body = handle(ui, on, {
    label: (state) => ui.t("move_box", { name, box: said(state) }),
    place: (state) => {
      const [[x1, y1, x2, y2], [w, h]] = [get(state), extent(state)];
      return [x1 / w, y1 / h, (x2 - x1) / w, (y2 - y1) / h];
    },
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
    place: (state) => [get(state)[kx] / extent(state)[0], get(state)[ky] / extent(state)[1]],
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
