// Strokes on a label map of two axes, x fastest. Each returns the box that it changed: [x0, y0, x1, y1], ends excluded.

export function disc(mask, width, height, x, y, size, value) {
  const radius = size / 2;
  const reach = Math.ceil(radius);
  const box = clipped([x - reach, y - reach, x + reach + 1, y + reach + 1], width, height);
  for (let row = box[1]; row < box[3]; row += 1) {
    for (let column = box[0]; column < box[2]; column += 1) {
      const far = (column - x) ** 2 + (row - y) ** 2;
      if (far < radius * radius || (column === x && row === y)) mask[row * width + column] = value;
    }
  }
  return box;
}

export function line(mask, width, height, from, to, size, value) {
  const steps = Math.max(1, Math.abs(to[0] - from[0]), Math.abs(to[1] - from[1]));
  let box = null;
  for (let n = 0; n <= steps; n += 1) {
    const x = Math.round(from[0] + ((to[0] - from[0]) * n) / steps);
    const y = Math.round(from[1] + ((to[1] - from[1]) * n) / steps);
    box = around(box, disc(mask, width, height, x, y, size, value));
  }
  return box;
}

// The inside of a closed line through pixel centres, and the line itself.
export function fill(mask, width, height, points, value) {
  const box = clipped([Math.min(...points.map((p) => p[0])), Math.min(...points.map((p) => p[1])),
    Math.max(...points.map((p) => p[0])) + 1, Math.max(...points.map((p) => p[1])) + 1], width, height);
  for (let row = box[1]; row < box[3]; row += 1) {
    const crossings = [];
    points.forEach(([x1, y1], n) => {
      const [x2, y2] = points[(n + 1) % points.length];
      if ((y1 <= row) !== (y2 <= row)) crossings.push(x1 + ((row - y1) / (y2 - y1)) * (x2 - x1));
    });
    crossings.sort((a, b) => a - b);
    for (let n = 0; n + 1 < crossings.length; n += 2) {
      const first = Math.max(0, Math.ceil(crossings[n]));
      const last = Math.min(width - 1, Math.floor(crossings[n + 1]));
      for (let column = first; column <= last; column += 1) mask[row * width + column] = value;
    }
  }
  points.forEach((point, n) => line(mask, width, height, point, points[(n + 1) % points.length], 1, value));
  return box;
}

export function around(box, other) {
  if (!box) return other;
  return [Math.min(box[0], other[0]), Math.min(box[1], other[1]), Math.max(box[2], other[2]), Math.max(box[3], other[3])];
}

function clipped([x0, y0, x1, y1], width, height) {
  return [Math.max(0, x0), Math.max(0, y0), Math.min(width, x1), Math.min(height, y1)];
}
