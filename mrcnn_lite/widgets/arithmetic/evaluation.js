// COCO's average precision of one class at one IoU threshold, as pycocotools computes it. Equality: tests/widgets/.

export function judge(scores, overlaps, objects, threshold) {
  // Detections by falling score: the first to reach an object with enough IoU is right, all others are wrong.
  // overlaps[k]: IoU with object objects[k] (-1: none). -> [{k, right, double}] in that order.
  const taken = new Set();
  const order = scores.map((_, k) => k).sort((a, b) => scores[b] - scores[a] || a - b);
  return order.map((k) => {
    const enough = objects[k] >= 0 && overlaps[k] >= threshold;
    const double = enough && taken.has(objects[k]);
    if (enough) taken.add(objects[k]);
    return { k, right: enough && !double, double };
  });
}

export function precisionRecall(rights, count) {
  // After each detection: {precision, recall}; `count` is how many objects there are.
  let hits = 0;
  return rights.map((right, n) => {
    hits += right ? 1 : 0;
    return { precision: hits / (n + 1), recall: hits / count };
  });
}

export function averagePrecision(rights, count) {
  // The mean over recall 0, 0.01, … 1 of the best precision at that recall or more. -> {ap, points: 101 precisions}.
  const curve = precisionRecall(rights, count);
  for (let n = curve.length - 2; n >= 0; n--) curve[n].precision = Math.max(curve[n].precision, curve[n + 1].precision);
  // WHY r * 0.01 and not r / 100: so pycocotools does, and 70 * 0.01 is a hair above the recall 7 / 10.
  const points = Array.from({ length: 101 }, (_, r) => curve.find(({ recall }) => recall >= r * 0.01)?.precision ?? 0);
  return { ap: points.reduce((a, b) => a + b, 0) / 101, points };
}
