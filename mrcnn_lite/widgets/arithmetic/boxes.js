// The JavaScript twin of mrcnn_lite/boxes.py, anchors.py and matching.py: IoU, deltas, NMS, anchors, who is positive.
// A box is [x1, y1, x2, y2] in continuous pixels, its width x2 - x1. tests/widgets/ holds twin and original equal.

export const area = ([x1, y1, x2, y2]) => (x2 - x1) * (y2 - y1);

export function iou(a, b) {
  const width = Math.max(Math.min(a[2], b[2]) - Math.max(a[0], b[0]), 0);
  const height = Math.max(Math.min(a[3], b[3]) - Math.max(a[1], b[1]), 0);
  const union = area(a) + area(b) - width * height;
  return union > 0 ? (width * height) / union : 0;
}

export function encode(anchor, box) {
  const [w, h] = [anchor[2] - anchor[0], anchor[3] - anchor[1]];
  return [
    ((box[0] + box[2]) / 2 - (anchor[0] + anchor[2]) / 2) / w,
    ((box[1] + box[3]) / 2 - (anchor[1] + anchor[3]) / 2) / h,
    Math.log((box[2] - box[0]) / w),
    Math.log((box[3] - box[1]) / h),
  ];
}

export const MAX_LOG_SCALE = Math.log(1000 / 16);

export function decode(anchor, [dx, dy, dw, dh]) {
  const [w, h] = [anchor[2] - anchor[0], anchor[3] - anchor[1]];
  const [x, y] = [anchor[0] + w / 2 + dx * w, anchor[1] + h / 2 + dy * h];
  const halfWidth = (w * Math.exp(Math.min(dw, MAX_LOG_SCALE))) / 2;
  const halfHeight = (h * Math.exp(Math.min(dh, MAX_LOG_SCALE))) / 2;
  return [x - halfWidth, y - halfHeight, x + halfWidth, y + halfHeight];
}

export function cellAnchors(sizes, ratios) {
  return ratios.flatMap((ratio) => sizes.map((size) => {
    const [w, h] = [size / Math.sqrt(ratio), size * Math.sqrt(ratio)];
    return [-w / 2, -h / 2, w / 2, h / 2];
  }));
}

export function gridAnchors(cell, rows, columns, stride, offset = 0.5) {
  const anchors = [];
  for (let i = 0; i < rows; i++)
    for (let j = 0; j < columns; j++) {
      const [x, y] = [(j + offset) * stride, (i + offset) * stride];
      for (const [x1, y1, x2, y2] of cell) anchors.push([x1 + x, y1 + y, x2 + x, y2 + y]);
    }
  return anchors;
}

export const [NEGATIVE, IGNORED] = [-1, -2];

export function match(objects, boxes, fgIoU, bgIoU, bestAnchorRule = false) {
  // For each box the number of its object, NEGATIVE or IGNORED.
  if (!objects.length) return boxes.map(() => NEGATIVE);
  const overlap = objects.map((object) => boxes.map((box) => iou(object, box)));
  const bestOfObject = overlap.map((row) => Math.max(...row));
  return boxes.map((_, p) => {
    let best = 0;
    for (let g = 1; g < objects.length; g++) if (overlap[g][p] > overlap[best][p]) best = g;
    const isBest = overlap.some((row, g) => row[p] === bestOfObject[g] && bestOfObject[g] > 0);
    if (overlap[best][p] >= fgIoU || (bestAnchorRule && isBest)) return best;
    return overlap[best][p] < bgIoU ? NEGATIVE : IGNORED;
  });
}

export function byScore(scores) {
  return scores.map((_, k) => k).sort((a, b) => scores[b] - scores[a] || a - b);
}

export function nmsSteps(boxes, scores, groups, threshold) {
  // Greedy NMS, step by step: the best box that is left, and what it suppresses: [{kept, gone: [[box, IoU], …]}, …].
  let order = byScore(scores);
  const steps = [];
  while (order.length) {
    const [kept, ...rest] = order;
    const overlap = rest.map((k) => (groups[k] === groups[kept] ? iou(boxes[kept], boxes[k]) : 0));
    steps.push({ kept, gone: rest.map((k, n) => [k, overlap[n]]).filter(([, value]) => value > threshold) });
    order = rest.filter((_, n) => overlap[n] <= threshold);
  }
  return steps;
}

export const nms = (boxes, scores, groups, threshold) => nmsSteps(boxes, scores, groups, threshold).map((s) => s.kept);

export function softNms(boxes, scores, groups, sigma, least) {
  // Soft-NMS (Bodla et al. 2017), Gaussian: nothing is deleted, an overlap lowers the score. -> [[box, final score]].
  const now = [...scores];
  const done = [];
  const left = new Set(boxes.keys());
  while (left.size) {
    const best = [...left].reduce((a, b) => (now[b] > now[a] ? b : a));
    left.delete(best);
    if (now[best] < least) break;
    done.push([best, now[best]]);
    for (const k of left) {
      if (groups[k] === groups[best]) now[k] *= Math.exp(-(iou(boxes[best], boxes[k]) ** 2) / sigma);
    }
  }
  return done;
}
