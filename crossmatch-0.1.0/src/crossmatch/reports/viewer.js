// Opens NiiVue below the heading of a case: three planes and 3D, with its masks over the scan. Without this script, or
// without WebGL 2, the static pictures stay as they are.
"use strict";
(() => {
  const block = document.querySelector("script.volumes");
  const { labels, cases } = JSON.parse(block.textContent);
  const PLANES = 3; // NiiVue's numbers of what is shown
  const SOLID = 4;
  let open = null;

  function element(kind, name, content) {
    const made = document.createElement(kind);
    made.className = name;
    if (content !== undefined) made.textContent = content; // never as HTML: names come from files
    return made;
  }

  function button(text, act) {
    const made = element("button", "", text);
    made.type = "button";
    made.addEventListener("click", act);
    return made;
  }

  function hasWebGL() {
    return Boolean(document.createElement("canvas").getContext("webgl2"));
  }

  function colours() {
    const table = { R: [0], G: [0], B: [0], A: [0], I: [0], labels: ["background"] };
    for (const { name, value, colour } of labels) {
      table.R.push(colour[0]);
      table.G.push(colour[1]);
      table.B.push(colour[2]);
      table.A.push(255);
      table.I.push(value);
      table.labels.push(name);
    }
    return table;
  }

  function close() {
    if (!open) return;
    open.box.remove();
    open.button.hidden = false;
    open.view?.gl?.getExtension("WEBGL_lose_context")?.loseContext(); // browsers allow few at a time
    open = null;
  }

  async function show(place, start) {
    close();
    const { name, about, volumes } = cases[Number(place.dataset.case)];
    const box = element("div", "viewer");
    const bar = element("div", "viewer-bar");
    const canvas = element("canvas", "");
    canvas.tabIndex = 0;
    canvas.setAttribute("aria-label", `${name}: three planes and 3D`);
    const held = element("div", "viewer-canvas");
    held.append(canvas);
    box.append(bar, held);
    place.append(box);
    start.hidden = true;
    open = { box, button: start, view: null };
    if (!hasWebGL()) {
      held.remove();
      bar.append(element("span", "", "This browser has no WebGL 2, which the viewer needs. The pictures below stay."), button("Close", close));
      return;
    }
    const view = new niivue.Niivue({ show3Dcrosshair: true, backColor: [0, 0, 0, 1], isColorbar: false, loadingText: "", multiplanarShowRender: 1, isRadiologicalConvention: true, crosshairWidth: 0.5, logLevel: "error" });
    open.view = view;
    await view.attachToCanvas(canvas);
    const kinds = Object.keys(volumes);
    for (const kind of kinds) {
      const image = await niivue.NVImage.loadFromBase64({ base64: volumes[kind], name: `${kind}.nii.gz`, colormap: "gray", opacity: 1 });
      if (kind !== "scan") image.setColormapLabel(colours());
      view.addVolume(image);
    }
    const strength = Object.fromEntries(kinds.map((kind) => [kind, kind === "prediction" ? 0.5 : 0]));
    const paint = () => kinds.forEach((kind, n) => n && view.setOpacity(n, strength[kind]));
    paint();
    view.setSliceType(PLANES);
    const solid = button("3D only", () => {
      const wanted = view.opts.sliceType === SOLID ? PLANES : SOLID;
      view.setSliceType(wanted);
      solid.textContent = wanted === SOLID ? "three planes" : "3D only";
    });
    for (const kind of kinds.slice(1)) {
      const label = element("label", "", `${kind} `);
      const slider = element("input", "");
      Object.assign(slider, { type: "range", min: 0, max: 1, step: 0.05, value: strength[kind] });
      slider.setAttribute("aria-label", `opacity of ${kind}`);
      slider.addEventListener("input", () => {
        strength[kind] = Number(slider.value);
        paint();
      });
      label.append(slider);
      bar.append(label);
    }
    const where = element("span", "viewer-where", about);
    bar.append(solid, button("Close", close), where);
    view.onLocationChange = ({ mm, values }) => {
      const place = `${[...mm].slice(0, 3).map((each) => each.toFixed(1)).join(", ")} mm`;
      const found = kinds.slice(1).map((kind, n) => `${kind}: ${labels.find(({ value }) => value === Math.round(values[n + 1]?.value))?.name ?? "background"}`);
      where.textContent = [place, ...found, about].filter(Boolean).join(" · ");
    };
    box.dataset.ready = "yes";
  }

  for (const place of document.querySelectorAll(".viewer-place")) {
    const start = button("Open in three planes and 3D", () => show(place, start).catch((error) => {
      close();
      place.append(element("p", "notice", `The viewer could not start (${error.message}). The pictures below stay.`));
    }));
    place.append(start);
  }
})();
