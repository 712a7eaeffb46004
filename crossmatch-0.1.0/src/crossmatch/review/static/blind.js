// In place of the viewer of volumes where the browser has no WebGL 2: nothing is drawn, but masks can be decided on.
import { bytes } from "./server.js";
import { complain } from "./words.js";

export class BlindViewer {
  static async open(facts) {
    const viewer = new BlindViewer();
    viewer.count = facts.shape.reduce((a, b) => a * b);
    viewer.setMask(facts.prediction ? await bytes("layer", { id: facts.id, what: "prediction" }) : null);
    complain("This browser has no WebGL 2, which the viewer of volumes needs: use a current Firefox, Chrome or Safari "
      + "with hardware acceleration switched on. Accept, reject and open elsewhere work all the same.");
    return viewer;
  }

  mask() { return this.labels; }

  // Of a NIfTI file the voxels, which stand last.
  setMask(buffer) {
    this.labels = buffer ? new Uint8Array(buffer).slice(buffer.byteLength - this.count) : new Uint8Array(this.count);
  }

  has() { return true; }

  undoable() { return false; }

  undo() { return false; }

  close() {}

  focus() {}

  move() {}

  step() {}

  paint() {}

  setTool() {}

  setView() {}

  setWindow() {}

  setLayer() {}

  setOpacity() {}

  setClasses() {}

  setChannel() {}
}

export const seeing = () => Boolean(document.createElement("canvas").getContext("webgl2"));
