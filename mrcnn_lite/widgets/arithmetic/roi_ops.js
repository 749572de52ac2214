// The JavaScript twin of mrcnn_lite/roi_ops.py: RoIPool, RoIWarp, RoIAlign, their gradient, and the exact mean.
//
// A feature map is {values, height, width}, row by row; a box [x1, y1, x2, y2] is in image pixels, `scale` is cells per
// pixel. Every op answers with its bins, row by row: {value, weights: [[cell, weight], …], …}. The value of a bin is
// the sum of weight times cell, so the weights are also its gradient. tests/widgets/ holds twin and original equal.

export function bilinear(y, x, height, width) {
  // The up to four cells that the value at (y, x) is mixed of, and their weights; none far outside the map.
  if (!(y >= -1 && y <= height && x >= -1 && x <= width)) return [];
  y = Math.min(Math.max(y, 0), height - 1);
  x = Math.min(Math.max(x, 0), width - 1);
  const [top, left] = [Math.floor(y), Math.floor(x)];
  const [bottom, right] = [Math.min(top + 1, height - 1), Math.min(left + 1, width - 1)];
  const [down, across] = [y - top, x - left];
  return [
    [top * width + left, (1 - down) * (1 - across)],
    [top * width + right, (1 - down) * across],
    [bottom * width + left, down * (1 - across)],
    [bottom * width + right, down * across],
  ];
}

const sum = (values, weights) => weights.reduce((total, [cell, weight]) => total + weight * values[cell], 0);

export function snap(side) {
  // Rounding as in C: halves away from zero, 4.5 -> 5.
  const whole = Math.trunc(side);
  return whole + Math.sign(side) * (Math.abs(side - whole) >= 0.5 ? 1 : 0);
}

export function snapToCells(box, scale) {
  // RoIPool's first rounding: pixels -> whole cells, first to last, the last one included.
  const [x1, y1, x2, y2] = box.map((side) => snap(side * scale));
  return [x1, y1, x2 + 1, y2 + 1];
}

export function roiAlign(map, box, size, scale, { points = 2, reduce = "mean", half_pixel = true } = {}) {
  const [x1, y1, x2, y2] = box.map((side) => side * scale - (half_pixel ? 0.5 : 0)); // in cells, nothing rounded
  const least = half_pixel ? 0 : 1;
  const [binWidth, binHeight] = [Math.max(x2 - x1, least) / size, Math.max(y2 - y1, least) / size];
  const [across, down] = [points || Math.ceil(binWidth), points || Math.ceil(binHeight)];
  const bins = [];
  for (let i = 0; i < size; i++) {
    for (let j = 0; j < size; j++) {
      const samples = [];
      for (let s = 0; s < down; s++) {
        for (let r = 0; r < across; r++) {
          const y = y1 + i * binHeight + ((s + 0.5) * binHeight) / down;
          const x = x1 + j * binWidth + ((r + 0.5) * binWidth) / across;
          const weights = bilinear(y, x, map.height, map.width);
          samples.push({ y, x, weights, value: sum(map.values, weights) });
        }
      }
      bins.push({ ...combine(samples, reduce), samples,
        rectangle: [x1 + j * binWidth, y1 + i * binHeight, x1 + (j + 1) * binWidth, y1 + (i + 1) * binHeight] });
    }
  }
  return bins;
}

function combine(samples, reduce) {
  // Mean or maximum of a bin's points; equal maxima share the gradient.
  if (!samples.length) return { value: 0, weights: [] };
  const best = Math.max(...samples.map((sample) => sample.value));
  const chosen = reduce === "max" ? samples.filter((sample) => sample.value === best) : samples;
  const weights = chosen.flatMap((sample) => sample.weights.map(([cell, weight]) => [cell, weight / chosen.length]));
  const mean = chosen.reduce((total, sample) => total + sample.value, 0) / chosen.length;
  return { value: reduce === "max" ? best : mean, weights };
}

export function roiWarp(map, box, size, scale, options = {}) {
  return roiAlign(map, snapToCells(box, scale), size, 1, options);
}

export function roiPool(map, box, size, scale) {
  const [x1, y1, x2, y2] = snapToCells(box, scale);
  const [binWidth, binHeight] = [(x2 - x1) / size, (y2 - y1) / size];
  const bins = [];
  for (let i = 0; i < size; i++) {
    for (let j = 0; j < size; j++) {
      // The second rounding goes outwards: neighbouring bins may share cells.
      const inside = (cell, most) => Math.min(Math.max(cell, 0), most);
      const top = inside(y1 + Math.floor(i * binHeight), map.height);
      const bottom = inside(y1 + Math.ceil((i + 1) * binHeight), map.height);
      const left = inside(x1 + Math.floor(j * binWidth), map.width);
      const right = inside(x1 + Math.ceil((j + 1) * binWidth), map.width);
      let winner = -1;
      for (let y = top; y < bottom; y++)
        for (let x = left; x < right; x++)
          if (winner < 0 || map.values[y * map.width + x] > map.values[winner]) winner = y * map.width + x;
      bins.push({ value: winner < 0 ? 0 : map.values[winner], weights: winner < 0 ? [] : [[winner, 1]],
        rectangle: [left, top, right, bottom] });
    }
  }
  return bins;
}

export const ROI_OPS = { pool: roiPool, warp: roiWarp, align: roiAlign };

export function gradient(bins, map, upstream = bins.map(() => 1)) {
  // d (sum of upstream * value) / d cell, for every cell of the map.
  const grad = new Array(map.height * map.width).fill(0);
  bins.forEach((bin, b) => bin.weights.forEach(([cell, weight]) => (grad[cell] += upstream[b] * weight)));
  return grad;
}

function axisMean(start, end, length) {
  // The mean over [start, end] of "how much cell i counts here", for each cell of one axis: exact, by the integral.
  const weights = new Array(length).fill(0);
  if (end - start < 1e-6) {
    for (const [cell, weight] of bilinear(0, start, 1, length).slice(0, 2)) weights[cell] += weight;
    return weights;
  }
  const [low, high] = [Math.max(start, -1), Math.min(end, length)]; // further out the map is 0
  if (high <= low) return weights;
  const area = (t) => (t <= -1 ? 0 : t <= 0 ? (t + 1) ** 2 / 2 : t < 1 ? 0.5 + t - t ** 2 / 2 : 1); // of a hat up to t
  const [from, to] = [Math.max(low, 0), Math.min(high, length - 1)];
  for (let cell = 0; from < to && cell < length; cell++) weights[cell] = area(to - cell) - area(from - cell);
  weights[0] += Math.max(Math.min(high, 0) - low, 0); // at the border its cell alone counts
  weights[length - 1] += Math.max(high - Math.max(low, length - 1), 0);
  return weights.map((weight) => weight / (end - start));
}

export function exactMean(map, box, size, scale) {
  // What RoIAlign approximates with a few points: the mean of the bilinear surface over each bin, half pixel right.
  const [x1, y1, x2, y2] = box.map((side) => side * scale - 0.5);
  const parts = (a, b, length) =>
    Array.from({ length: size }, (_, k) => axisMean(a + (k * (b - a)) / size, a + ((k + 1) * (b - a)) / size, length));
  const [columns, rows] = [parts(x1, x2, map.width), parts(y1, y2, map.height)];
  const value = (i, j) => map.values[i * map.width + j];
  const along = (row, column) => row.reduce((total, down, i) =>
    down ? total + down * column.reduce((part, across, j) => part + across * value(i, j), 0) : total, 0);
  return rows.flatMap((row) => columns.map((column) => along(row, column)));
}

export function level(box, scales, canonical_size = 224, canonical_level = 4) {
  // FPN eq. 1: which of the levels, finest first, a box belongs to.
  const k = canonical_level + Math.log2(Math.sqrt((box[2] - box[0]) * (box[3] - box[1])) / canonical_size) + 1e-6;
  const lowest = Math.round(-Math.log2(scales[0]));
  return Math.min(Math.max(Math.floor(k), lowest), lowest + scales.length - 1) - lowest;
}
