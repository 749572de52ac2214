// Label maps: which parts of a picture hang together, and the box of a mask. A map is a list of height * width numbers.
// tests/widgets/ holds the parts equal to SciPy's label, the boxes to a plain search in Python.

export function connectedParts(map, width, wanted) {
  // How many parts, connected through sides (not corners), the cells with the value `wanted` form.
  const left = map.map((value) => value === wanted);
  let parts = 0;
  for (let start = 0; start < map.length; start++) {
    if (!left[start]) continue;
    parts++;
    const waiting = [start];
    left[start] = false;
    while (waiting.length) {
      const at = waiting.pop();
      const beside = [at - width, at + width];
      if (at % width > 0) beside.push(at - 1);
      if (at % width < width - 1) beside.push(at + 1);
      for (const next of beside) {
        if (!left[next]) continue;
        left[next] = false;
        waiting.push(next);
      }
    }
  }
  return parts;
}

export function boxOf(map, width, wanted) {
  // The box [x1, y1, x2, y2] around the cells with the value `wanted`, the last column and row included; null for none.
  let box = null;
  map.forEach((value, at) => {
    if (value !== wanted) return;
    const [x, y] = [at % width, Math.floor(at / width)];
    box = box ? [Math.min(box[0], x), Math.min(box[1], y), Math.max(box[2], x + 1), Math.max(box[3], y + 1)]
      : [x, y, x + 1, y + 1];
  });
  return box;
}
