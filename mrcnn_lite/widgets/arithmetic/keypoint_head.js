// The JavaScript twin of mrcnn_lite/keypoint_head.py: one-hot target, softmax loss, decoding; and COCO's OKS.
// A box is [x1, y1, x2, y2], a point [x, y] in continuous pixels, a map M * M logits. tests/widgets/ compares the two.

export function encodeHeatmap([x, y], [x1, y1, x2, y2], size) {
  // The cell of the one-hot target, row * size + column; -1 for a point outside the box.
  let column = Math.floor(((x - x1) / (x2 - x1)) * size);
  let row = Math.floor(((y - y1) / (y2 - y1)) * size);
  if (x === x2) column = size - 1; // a point on the right or lower border is inside
  if (y === y2) row = size - 1;
  return column >= 0 && column < size && row >= 0 && row < size ? row * size + column : -1;
}

export function crossEntropy(logits, cell) {
  // Of a softmax over all positions: {loss, probs, grad}.
  const most = Math.max(...logits);
  const powers = logits.map((logit) => Math.exp(logit - most));
  const sum = powers.reduce((a, b) => a + b, 0);
  const probs = powers.map((power) => power / sum);
  const grad = probs.map((p, k) => p - (k === cell ? 1 : 0));
  return { loss: most + Math.log(sum) - logits[cell], probs, grad };
}

function cubicWeights(length, from) {
  // For each of `length` new positions the four old ones it is made of, and their weights (torch's bicubic, A = -0.75).
  const A = -0.75;
  const near = (t) => ((A + 2) * t - (A + 3)) * t * t + 1; // up to 1 away
  const far = (t) => ((A * t - 5 * A) * t + 8 * A) * t - 4 * A; // 1 to 2 away
  return Array.from({ length }, (_, k) => {
    const at = ((k + 0.5) * from) / length - 0.5;
    const low = Math.floor(at);
    const t = at - low;
    const cells = [low - 1, low, low + 1, low + 2].map((cell) => Math.min(Math.max(cell, 0), from - 1));
    return { cells, weights: [far(t + 1), near(t), near(1 - t), far(2 - t)] };
  });
}

export function decodeHeatmap(logits, size, [x1, y1, x2, y2], half = 0.5) {
  // The map resized to the box's size in whole pixels; the best pixel's centre (half = 0: its corner). -> [x, y].
  const [w, h] = [Math.max(x2 - x1, 1), Math.max(y2 - y1, 1)];
  const [width, height] = [Math.ceil(w), Math.ceil(h)];
  const across = cubicWeights(width, size);
  const rows = Array.from({ length: size }, (_, i) => across.map(({ cells, weights }) =>
    cells.reduce((total, cell, n) => total + weights[n] * logits[i * size + cell], 0)));
  let best = -Infinity;
  let place = [0, 0];
  cubicWeights(height, size).forEach(({ cells, weights }, i) => {
    for (let j = 0; j < width; j++) {
      let value = 0;
      for (let n = 0; n < 4; n++) value += weights[n] * rows[cells[n]][j];
      if (value > best) [best, place] = [value, [j, i]];
    }
  });
  return [((place[0] + half) * w) / width + x1, ((place[1] + half) * h) / height + y1];
}

export function oks(distance, area, sigma) {
  // Object keypoint similarity of one joint: COCO's k is twice its sigma.
  return Math.exp(-(distance ** 2) / (2 * area * (2 * sigma) ** 2));
}
