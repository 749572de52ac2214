// The JavaScript twin of the mask losses in mrcnn_lite/mask_head.py, with their gradients.
//
// logits: K planes (for softmax K + 1, plane 0 the background), each a list of M * M numbers; label 1..K; target M * M
// numbers in 0..1. Answers {loss, grad}: the mean over the pixels, and its gradient for every logit of every plane.
// tests/widgets/ holds twin and original equal.

export const sigmoid = (x) => (x >= 0 ? 1 / (1 + Math.exp(-x)) : Math.exp(x) / (1 + Math.exp(x)));
const softplus = (x) => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x))); // log(1 + e^x), never overflowing

export function sigmoidLoss(logits, label, target) {
  // Binary cross-entropy on the true class's plane; no other plane takes part.
  const grad = logits.map((plane) => plane.map(() => 0));
  const own = logits[label - 1];
  let total = 0;
  own.forEach((x, p) => {
    total += softplus(x) - target[p] * x;
    grad[label - 1][p] = (sigmoid(x) - target[p]) / own.length;
  });
  return { loss: total / own.length, grad };
}

export function softmaxLoss(logits, label, target) {
  // Every pixel chooses one of background and K classes: all planes take part.
  const grad = logits.map((plane) => plane.map(() => 0));
  const count = target.length;
  let total = 0;
  for (let p = 0; p < count; p++) {
    const most = Math.max(...logits.map((plane) => plane[p]));
    const powers = logits.map((plane) => Math.exp(plane[p] - most));
    const sum = powers.reduce((a, b) => a + b, 0);
    const log = most + Math.log(sum);
    total += target[p] * (log - logits[label][p]) + (1 - target[p]) * (log - logits[0][p]);
    logits.forEach((_, k) => {
      const wanted = k === label ? target[p] : k === 0 ? 1 - target[p] : 0;
      grad[k][p] = (powers[k] / sum - wanted) / count;
    });
  }
  return { loss: total / count, grad };
}

export const MASK_LOSSES = { sigmoid: sigmoidLoss, softmax: softmaxLoss };

export function probability(kind, logits, label) {
  // The predicted mask of a class: its own plane, or under softmax the class against the background.
  return logits[label - (kind === "sigmoid" ? 1 : 0)].map((x, p) => sigmoid(kind === "sigmoid" ? x : x - logits[0][p]));
}

export function pasteAt(mask, side, [x1, y1, x2, y2], x, y) {
  // The probability at the image's point (x, y): bilinear between the centres of the mask's cells, 0 outside the box.
  if (!(x >= x1 && x < x2 && y >= y1 && y < y2)) return 0;
  const inCells = (point, low, high) => ((point - low) / Math.max(high - low, 1e-6)) * side - 0.5;
  const at = (cell) => Math.min(Math.max(cell, 0), side - 1);
  const [column, row] = [at(inCells(x, x1, x2)), at(inCells(y, y1, y2))];
  const [left, top] = [Math.floor(column), Math.floor(row)];
  const [right, bottom] = [Math.min(left + 1, side - 1), Math.min(top + 1, side - 1)];
  const [across, down] = [column - left, row - top];
  return (1 - down) * ((1 - across) * mask[top * side + left] + across * mask[top * side + right])
    + down * ((1 - across) * mask[bottom * side + left] + across * mask[bottom * side + right]);
}
