// Controls: each shows one key of the state and changes it; `reading` is text to read, to select and to copy.

function choice(ui, key, label, names, values = SPEC.choices[key]) {
  // `names` of the values as they are shown; without them the values themselves.
  const inputs = values.map((value) =>
    make("input", { type: "radio", name: `${ui.name}-${key}`, value, change: () => ui.set({ [key]: value }) }));
  let shown;
  ui.update((state) => {
    if (shown === state[key]) return;
    shown = state[key];
    values.forEach((value, k) => (inputs[k].checked = value === shown));
  });
  const options = inputs.map((input, k) => make("label", {}, input, `${(names ?? values)[k]}`));
  return make("fieldset", { class: "mw-choice", "data-key": key }, make("legend", {}, label),
    make("span", { class: "mw-options" }, ...options));
}

function toggle(ui, key, label) {
  const input = make("input", { type: "checkbox", "data-key": key, change: () => ui.set({ [key]: input.checked }) });
  ui.update((state) => (input.checked = state[key]));
  return make("label", { class: "mw-field" }, input, label);
}

function slider(ui, key, label, { min, max, step, show = (value) => number(value) }) {
  const input = make("input", { type: "range", min, max, step, "data-key": key,
    input: () => ui.set({ [key]: Number(input.value) }) });
  const output = make("output", {});
  ui.update((state) => {
    if (Number(input.value) !== state[key]) input.value = state[key];
    output.textContent = show(state[key]);
  });
  return make("label", { class: "mw-field" }, label, input, output);
}

function numberField(ui, label, get, set, { min, max, step = 1 }) {
  // WHY not while it has the focus: whoever types 1 on the way to 12 must not see it corrected.
  const typed = () => Number.isFinite(input.valueAsNumber) && set(clamp(input.valueAsNumber, min, max));
  const input = make("input", { type: "number", min, max, step, input: typed, blur: () => ui.soon() });
  ui.write((state) => {
    const now = Number(get(state).toFixed(2));
    if (document.activeElement !== input && input.valueAsNumber !== now) input.value = now;
  });
  return make("label", { class: "mw-field" }, label, input);
}

function reading(ui, name, words, attributes = {}) {
  const element = make("div", { "data-read": name, ...attributes });
  ui.write((state) => {
    const now = words(state);
    if (element.textContent !== now) element.textContent = now; // a selection stays while the numbers do
  });
  return element;
}
