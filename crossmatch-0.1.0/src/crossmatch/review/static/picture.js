// The viewer of pictures of two axes: canvases of the picture's own pixels, one above the other.
import { bytes } from "./server.js";
import { disc, fill, line } from "./strokes.js";
import { $, element } from "./words.js";

const TYPES = { uint8: Uint8Array, int16: Int16Array, uint16: Uint16Array, float32: Float32Array };
const UNDO_BYTES = 256e6;

export class PictureViewer {
  static async open(facts, classes, onchange) {
    const viewer = new PictureViewer(facts, classes, onchange);
    viewer.values = new TYPES[facts.types[0]](await bytes("image", { id: facts.id }));
    const size = viewer.w * viewer.h;
    viewer.labels = facts.prediction
      ? new Uint8Array(await bytes("layer", { id: facts.id, what: "prediction" })) : new Uint8Array(size);
    viewer.build();
    return viewer;
  }

  constructor(facts, classes, onchange) {
    [this.w, this.h] = facts.shape;
    Object.assign(this, { facts, onchange, layers: {}, before: [], scale: 1, shift: [0, 0], tool: "look", onmove() {} });
    this.colours = new Map(classes.map((each) => [each.value, rgb(each.colour)]));
    this.shown = new Set(this.colours.keys());
    this.cursor = [this.w >> 1, this.h >> 1];
  }

  build() {
    this.box = element("div", "", { class: "layers" });
    this.box.style.setProperty("--shape", `${this.w} / ${this.h}`);
    this.box.style.setProperty("--ratio", String(this.w / this.h));
    for (const name of ["image", "uncertainty", "mask", "reference", "cross"]) {
      const canvas = element("canvas", "", { width: this.w, height: this.h });
      this.layers[name] = { canvas, pen: canvas.getContext("2d", { willReadFrequently: name === "mask" }) };
      this.box.append(canvas);
    }
    $("picture").replaceChildren(this.box);
    $("picture").hidden = false;
    this.aborted = new AbortController();
    const { signal } = this.aborted;
    for (const kind of ["pointerdown", "pointermove", "pointerup"]) {
      this.box.addEventListener(kind, (event) => this[kind](event), { signal });
    }
    this.box.addEventListener("pointercancel", () => this.pointerup(), { signal });
    $("picture").addEventListener("wheel", (event) => {
      event.preventDefault();
      this.zoom(event.deltaY < 0 ? "+" : "-");
    }, { signal, passive: false });
    this.drawMask();
    this.place();
  }

  close() {
    this.aborted.abort();
    $("picture").hidden = true;
    $("picture").replaceChildren();
  }

  focus() { $("picture").focus({ preventScroll: true }); }

  // Grey values or colours between low and high.
  setWindow(low, high) {
    const { pen } = this.layers.image;
    const shown = pen.createImageData(this.w, this.h);
    const size = this.w * this.h;
    const gain = 255 / (high - low);
    for (let n = 0, k = 0; n < size; n += 1, k += 4) {
      for (let c = 0; c < 3; c += 1) {
        shown.data[k + c] = (this.values[this.facts.colours ? n + c * size : n] - low) * gain;
      }
      shown.data[k + 3] = 255;
    }
    pen.putImageData(shown, 0, 0);
  }

  async setChannel(channel) {
    this.values = new TYPES[this.facts.types[channel]](await bytes("image", { id: this.facts.id, channel }));
  }

  has(layer) { return Boolean(this.layers[layer].filled); }

  setLayer(layer, buffer) {
    if (layer === "reference") this.reference = new Uint8Array(buffer);
    const shown = this.layers[layer].pen.createImageData(this.w, this.h);
    if (layer === "uncertainty") {
      new Float32Array(buffer).forEach((share, n) => {
        shown.data.set([255, Math.round(255 * (1 - share)), 40, Math.round(255 * Math.min(1, share))], 4 * n);
      });
    } else this.outlined(this.reference, shown);
    this.layers[layer].pen.putImageData(shown, 0, 0);
    this.layers[layer].filled = true;
  }

  // The border of each class, thick enough to be seen.
  outlined(map, shown) {
    const reach = Math.max(1, Math.round(Math.max(this.w, this.h) / 400));
    for (let y = 0, n = 0; y < this.h; y += 1) {
      for (let x = 0; x < this.w; x += 1, n += 1) {
        const value = map[n];
        if (!this.shown.has(value)) continue;
        const inside = x >= reach && y >= reach && x + reach < this.w && y + reach < this.h
          && map[n - reach] === value && map[n + reach] === value
          && map[n - reach * this.w] === value && map[n + reach * this.w] === value;
        if (!inside) shown.data.set([...this.colours.get(value), 255], 4 * n);
      }
    }
  }

  setOpacity(layer, share) { this.layers[layer].canvas.style.opacity = String(share); }

  setClasses(shown) {
    this.shown = shown;
    this.drawMask();
    if (this.reference) this.setLayer("reference", this.reference);
  }

  drawMask(box = [0, 0, this.w, this.h]) {
    const [x0, y0, x1, y1] = box;
    if (x1 <= x0 || y1 <= y0) return;
    const { pen } = this.layers.mask;
    const shown = pen.createImageData(x1 - x0, y1 - y0);
    for (let y = y0, k = 0; y < y1; y += 1) {
      for (let x = x0; x < x1; x += 1, k += 4) {
        const value = this.labels[y * this.w + x];
        if (this.shown.has(value)) shown.data.set([...this.colours.get(value), 255], k);
      }
    }
    pen.putImageData(shown, x0, y0);
  }

  mask() { return this.labels; }

  setMask(buffer) {
    this.remember();
    this.labels = buffer ? new Uint8Array(buffer) : new Uint8Array(this.w * this.h);
    this.drawMask();
  }

  setTool(tool, value, size) {
    Object.assign(this, { tool, value: tool === "erase" ? 0 : value, size });
    $("picture").dataset.tool = tool;
  }

  remember() {
    this.before.push(this.labels.slice());
    if (this.before.length * this.labels.length > UNDO_BYTES || this.before.length > 30) this.before.shift();
  }

  undoable() { return this.before.length > 0; }

  undo() {
    if (!this.before.length) return false;
    this.labels = this.before.pop();
    this.drawMask();
    return true;
  }

  at(event) {
    const frame = this.box.getBoundingClientRect();
    return [Math.floor(((event.clientX - frame.left) / frame.width) * this.w),
      Math.floor(((event.clientY - frame.top) / frame.height) * this.h)];
  }

  pointerdown(event) {
    if (event.button !== 0) return;
    this.focus();
    this.box.setPointerCapture(event.pointerId);
    this.dragged = [event.clientX, event.clientY];
    this.points = [this.at(event)];
    this.setCursor(this.points[0]);
    if (this.tool === "look") return;
    this.remember();
    if (this.tool !== "fill") this.drawMask(disc(this.labels, this.w, this.h, ...this.points[0], this.size, this.value));
  }

  pointermove(event) {
    if (!this.points) return;
    const point = this.at(event);
    if (this.tool === "look") {
      if (this.scale > 1) {
        this.shift = this.shift.map((old, n) => old + [event.clientX, event.clientY][n] - this.dragged[n]);
        this.place();
      }
      this.dragged = [event.clientX, event.clientY];
      return;
    }
    const from = this.points.at(-1);
    this.points.push(point);
    if (this.tool === "fill") this.sketch();
    else this.drawMask(line(this.labels, this.w, this.h, from, point, this.size, this.value));
  }

  pointerup() {
    const { points } = this;
    this.points = null;
    if (!points || this.tool === "look") return;
    if (this.tool === "fill") {
      this.drawMask(fill(this.labels, this.w, this.h, points, this.value));
      this.setCursor(points.at(-1));
    }
    this.onchange();
  }

  sketch() {
    const { pen } = this.layers.cross;
    pen.clearRect(0, 0, this.w, this.h);
    pen.lineWidth = Math.max(1, this.w / 400);
    pen.strokeStyle = "#fff";
    pen.beginPath();
    this.points.forEach(([x, y]) => pen.lineTo(x + 0.5, y + 0.5));
    pen.stroke();
  }

  setCursor([x, y]) {
    this.cursor = [Math.min(this.w - 1, Math.max(0, x)), Math.min(this.h - 1, Math.max(0, y))];
    const { pen } = this.layers.cross;
    const long = Math.max(3, this.w / 40);
    pen.clearRect(0, 0, this.w, this.h);
    pen.fillStyle = "#ff5148";
    const wide = Math.max(1, Math.round(this.w / 500));
    pen.fillRect(this.cursor[0] - long, this.cursor[1], 2 * long + 1, wide);
    pen.fillRect(this.cursor[0], this.cursor[1] - long, wide, 2 * long + 1);
    const n = this.cursor[1] * this.w + this.cursor[0];
    const size = this.w * this.h;
    const value = this.facts.colours ? [0, 1, 2].map((c) => this.values[n + c * size]).join(", ") : this.values[n];
    this.onmove(`column ${this.cursor[0]}, row ${this.cursor[1]}: ${value}`);
  }

  move(across, up) { this.setCursor([this.cursor[0] + across, this.cursor[1] - up]); }

  step() {}

  setView() {}

  paint() {
    this.remember();
    this.drawMask(disc(this.labels, this.w, this.h, ...this.cursor, this.size, this.value));
    this.onchange();
  }

  zoom(key) {
    this.scale = key === "0" ? 1 : Math.min(32, Math.max(1, this.scale * (key === "+" ? 1.25 : 0.8)));
    if (this.scale === 1) this.shift = [0, 0];
    this.place();
  }

  place() { this.box.style.transform = `translate(${this.shift[0]}px, ${this.shift[1]}px) scale(${this.scale})`; }
}

function rgb(colour) { return [1, 3, 5].map((n) => parseInt(colour.slice(n, n + 2), 16)); }
