// The viewer of volumes: NiiVue, which shows three planes and 3D and draws. The mask is its drawing.
import { bytes } from "./server.js";
import { $ } from "./words.js";

const THICK = 2; // slices are far apart where one axis has so many times the finest spacing
const UNDO = 24; // states that NiiVue keeps
const AXES = { 0: 2, 1: 1, 2: 0, 3: 2, 4: 2 }; // view -> the axis across its slices
const PLANES = { 0: 2, 1: 1, 2: 0 }; // the axis across a plane -> NiiVue's number of the plane
let shared = null; // one NiiVue for all cases: browsers allow few WebGL contexts

async function library() {
  if (window.niivue) return window.niivue;
  await new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.src = "niivue.umd.js";
    script.addEventListener("load", resolve);
    script.addEventListener("error", () => reject(new Error("The viewer could not be loaded: load the page again.")));
    document.head.append(script);
  });
  return window.niivue;
}

async function instance() {
  const { Niivue } = await library();
  if (shared) return shared;
  shared = new Niivue({
    logLevel: "error", dragAndDropEnabled: false, isResizeCanvas: true, crosshairWidth: 0.4, crosshairWidthUnit: "percent", backColor: [0, 0, 0, 1],
    multiplanarShowRender: 1, multiplanarLayout: 2, maxDrawUndoBitmaps: UNDO, isNearestInterpolation: false,
    isRadiologicalConvention: true, loadingText: "", crosshairColor: [1, 0.32, 0.28, 0.7], tileMargin: 4,
  });
  await shared.attachToCanvas($("volume"));
  shared.graph.autoSizeMultiplanar = false;
  return shared;
}

export class VolumeViewer {
  static async open(facts, classes, onchange) {
    $("volume").hidden = false;
    const viewer = new VolumeViewer(facts, classes, onchange);
    viewer.nv = await instance();
    await viewer.setChannel(0);
    await viewer.setMask(facts.prediction ? await bytes("layer", { id: facts.id, what: "prediction" }) : null);
    viewer.strokes = 0;
    viewer.listen();
    return viewer;
  }

  constructor(facts, classes, onchange) {
    Object.assign(this, { facts, classes, onchange, overlays: {}, strokes: 0, view: 3, tool: "look" });
    this.shown = new Set(classes.map((each) => each.value));
    this.onmove = () => {};
    this.onwindow = () => {};
  }

  listen() {
    this.aborted = new AbortController();
    const { signal } = this.aborted;
    this.nv.onLocationChange = ({ mm, values }) => {
      const grey = values?.[0]?.value;
      const unit = this.facts.spacing ? " mm" : "";
      this.onmove(`${Array.from(mm.slice(0, 3), (each) => each.toFixed(1)).join(", ")}${unit}`
        + (grey === undefined ? "" : `: ${Number(grey.toPrecision(4))}`));
    };
    this.nv.onIntensityChange = (volume) => this.onwindow(volume.cal_min, volume.cal_max);
    const canvas = $("volume");
    for (const kind of ["mousedown", "touchstart"]) {
      canvas.addEventListener(kind, () => { this.mark = this.nv.currentDrawUndoBitmap; }, { signal, capture: true });
    }
    for (const kind of ["mouseup", "mouseleave", "touchend"]) {
      window.addEventListener(kind, () => setTimeout(() => this.stroked()), { signal, capture: true });
    }
  }

  // After a drag: whether NiiVue has drawn.
  stroked() {
    if (this.mark === undefined || this.nv.currentDrawUndoBitmap === this.mark) return;
    this.mark = undefined;
    this.strokes += 1;
    this.onchange();
  }

  close() {
    this.aborted?.abort();
    this.nv.setDrawingEnabled(false);
    this.nv.closeDrawing();
    for (const volume of [...this.nv.volumes]) this.nv.removeVolume(volume);
    $("volume").hidden = true;
  }

  focus() { $("volume").focus({ preventScroll: true }); }

  async setChannel(channel) {
    const { low, high } = this.facts.windows[channel];
    const buffer = await bytes("image", { id: this.facts.id, channel });
    const made = await window.niivue.NVImage.new(buffer, "image.nii", "gray", 1, null, low, high);
    const old = this.nv.volumes[0];
    if (old && this.image) {
      made.id = old.id;
      this.nv.volumes[0] = made;
      this.nv.updateGLVolume();
    } else {
      for (const volume of [...this.nv.volumes]) this.nv.removeVolume(volume);
      this.nv.addVolume(made);
    }
    this.image = made;
  }

  setWindow(low, high) {
    Object.assign(this.image, { cal_min: low, cal_max: high });
    this.nv.updateGLVolume();
  }

  table() {
    const table = { R: [0], G: [0], B: [0], A: [0], I: [0], labels: [""] };
    for (const each of this.classes) {
      [1, 3, 5].forEach((n, k) => table["RGB"[k]].push(parseInt(each.colour.slice(n, n + 2), 16)));
      table.A.push(this.shown.has(each.value) ? 255 : 0);
      table.I.push(each.value);
      table.labels.push(each.name);
    }
    return table;
  }

  setClasses(shown) {
    this.shown = shown;
    this.nv.setDrawColormap(this.table());
    this.overlays.reference?.setColormapLabel(this.table());
    this.nv.updateGLVolume();
  }

  has(layer) { return Boolean(this.overlays[layer]); }

  async setLayer(layer, buffer) {
    const { NVImage } = window.niivue;
    const label = layer === "reference";
    const made = await NVImage.new(buffer, `${layer}.nii`, label ? "" : "warm", 0, null, label ? NaN : 0.02, label ? NaN : 1);
    if (label) {
      keepBorders(made.img, this.facts.shape, this.facts.spacing);
      made.setColormapLabel(this.table());
    }
    this.nv.addVolume(made);
    this.overlays[layer] = made;
  }

  setOpacity(layer, share) {
    if (layer === "mask") this.nv.setDrawOpacity(share);
    else if (this.overlays[layer]) this.nv.setOpacity(this.nv.volumes.indexOf(this.overlays[layer]), share);
  }

  // Voxels in the axes of the file, x fastest: NiiVue turns its drawing back.
  async mask() {
    const file = await this.nv.saveImage({ filename: "", isSaveDrawing: true });
    return file.slice(file.length - this.facts.shape.reduce((a, b) => a * b));
  }

  async setMask(buffer) {
    if (buffer) {
      this.nv.loadDrawing(await window.niivue.NVImage.new(buffer, "mask.nii"));
    } else {
      this.nv.createEmptyDrawing();
    }
    this.nv.setDrawColormap(this.table());
    this.strokes = 0;
  }

  setTool(tool, value, size) {
    this.tool = tool;
    this.nv.setDrawingEnabled(tool !== "look");
    this.nv.opts.penSize = tool === "fill" ? 1 : size;
    this.pen = tool === "erase" ? 0 : value;
    this.nv.setPenValue(this.pen, tool === "fill");
  }

  undoable() { return this.strokes > 0; }

  undo() {
    if (!this.undoable()) return false;
    this.strokes = Math.min(this.strokes, UNDO - 1) - 1;
    this.nv.drawUndo();
    return true;
  }

  setView(view) {
    this.view = view;
    this.nv.setSliceType(view);
  }

  // The axis, of right, front and top, across the slices of the view; of all planes together that of thick slices.
  across() {
    const sizes = Array.from(this.image.pixDimsRAS.slice(1, 4));
    const thickest = sizes.indexOf(Math.max(...sizes));
    const flat = this.view < 3 || sizes[thickest] < THICK * Math.min(...sizes);
    return flat ? AXES[this.view] : thickest;
  }

  step(count) {
    const moved = [0, 0, 0];
    moved[this.across()] = count;
    this.nv.moveCrosshairInVox(...moved);
  }

  move(across, up) {
    const axes = [0, 1, 2].filter((axis) => axis !== this.across());
    const moved = [0, 0, 0];
    moved[axes[0]] = axes[0] === 0 ? -across : across; // the patient's right is on the left
    moved[axes[1]] = up;
    this.nv.moveCrosshairInVox(...moved);
  }

  paint() {
    const place = this.nv.frac2vox(this.nv.scene.crosshairPos).map(Math.round);
    this.nv.drawPenAxCorSag = PLANES[this.across()];
    this.nv.drawPt(...place, this.pen);
    this.nv.drawPenAxCorSag = -1;
    this.nv.drawAddUndoBitmap();
    this.nv.refreshDrawing(true);
    this.strokes += 1;
    this.onchange();
  }
}

// Leaves of a label map, x fastest, the voxels that have a neighbour of another label within a slice. Between slices
// that lie far apart nothing is compared, as each would be all border.
function keepBorders(map, shape, spacing) {
  const before = map.slice();
  const finest = Math.min(...(spacing ?? [1]));
  const strides = [1, shape[0], shape[0] * shape[1]];
  const axes = [0, 1, 2].filter((axis) => !spacing || spacing[axis] < THICK * finest);
  for (let n = 0; n < map.length; n += 1) {
    if (!before[n]) continue;
    const same = axes.every((axis) => {
      const place = Math.floor(n / strides[axis]) % shape[axis];
      return (place === 0 || before[n - strides[axis]] === before[n])
        && (place + 1 === shape[axis] || before[n + strides[axis]] === before[n]);
    });
    if (same) map[n] = 0;
  }
}
