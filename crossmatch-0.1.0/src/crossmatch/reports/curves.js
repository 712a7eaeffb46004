// Draws each panel of curves again with uPlot: values under the pointer, zoom by dragging, with two fingers or by keys.
// Without this script the static drawing stays.
"use strict";
(() => {
  const ASPECT = 0.56; // height of a panel by the width of a column
  const LEAST_HEIGHT = 170;
  const GAP = 20; // between columns, as in style.css
  const NARROW = 560; // below it there is one column
  const LEAST_STEPS = 1; // that zooming goes down to
  const colour = (element, name) => getComputedStyle(element).getPropertyValue(name).trim();
  const text = (value) => (value == null || !isFinite(value) ? "–" : value.toLocaleString("en", { maximumSignificantDigits: 4 }));
  const short = (value) => {
    const digits = Math.abs(value) >= 100 ? 4 : 3;
    return Number.isInteger(value) ? value.toLocaleString("en") : String(Number(value.toPrecision(digits))).replace("e-0", "e-");
  };

  function element(kind, name, content) {
    const made = document.createElement(kind);
    made.className = name;
    if (content !== undefined) made.textContent = content; // never as HTML: names come from files
    return made;
  }

  function tooltip(figure, curves) {
    const box = element("div", "tooltip");
    box.setAttribute("role", "status");
    const head = element("b", "at");
    const rows = curves.map((curve) => {
      const row = element("span", `row ${curve.bold ? "bold" : curve.colour}`);
      const value = element("b", "value");
      row.append(element("i", ""), element("span", "name", curve.name), value);
      return { row, value };
    });
    box.append(head, ...rows.map((each) => each.row));
    return {
      box,
      show(plot) {
        const place = plot.cursor.idx;
        if (place == null || plot.cursor.left < 0) {
          box.hidden = true;
          return;
        }
        head.textContent = `step ${plot.data[0][place].toLocaleString("en")}`;
        rows.forEach(({ row, value }, n) => {
          const found = plot.data[n + 1][place];
          row.hidden = found === undefined; // this curve has no value at this step
          value.textContent = text(found);
        });
        box.hidden = false;
        const across = plot.valToPos(plot.data[0][place], "x") + plot.over.offsetLeft;
        const before = across > plot.width / 2;
        box.style.left = before ? "auto" : `${across + 10}px`;
        box.style.right = before ? `${plot.width - across + 10}px` : "auto";
      },
    };
  }

  function draw(figure) {
    const { steps, range, mark, curves } = JSON.parse(figure.querySelector("script.numbers").textContent);
    const columns = curves.map((curve) => curve.values.map((value) => (value === "" ? undefined : value)));
    const first = 0;
    const last = Math.max(steps[steps.length - 1], 1);
    const drawing = figure.querySelector(".drawing");
    const holder = element("div", "live");
    const reset = element("button", "reset", "whole curve");
    reset.type = "button";
    reset.hidden = true;
    const tip = tooltip(figure, curves);
    let plot;
    let shown = [first, last]; // the steps that are seen

    const size = () => {
      const width = holder.clientWidth;
      const column = figure.classList.contains("wide") && innerWidth > NARROW ? (width - GAP) / 2 : width;
      return { width, height: Math.max(LEAST_HEIGHT, Math.round(column * ASPECT)) };
    };
    const zoomed = () => shown[0] > first || shown[1] < last;
    const limits = (from, to) => {
      const span = Math.max(Math.min(to - from, last - first), LEAST_STEPS);
      const start = Math.min(Math.max(from, first), last - span);
      shown = [start, start + span];
      reset.hidden = !zoomed();
      plot.setScale("x", { min: shown[0], max: shown[1] });
    };
    const circle = (u, [step, value]) => {
      const x = u.valToPos(step, "x", true);
      if (x < u.bbox.left - 1 || x > u.bbox.left + u.bbox.width + 1) return;
      u.ctx.beginPath();
      u.ctx.arc(x, u.valToPos(value, "y", true), 3.5 * devicePixelRatio, 0, 2 * Math.PI);
      u.ctx.lineWidth = 1.8 * devicePixelRatio;
      u.ctx.fillStyle = colour(figure, "--paper");
      u.ctx.strokeStyle = colour(figure, "--ink");
      u.ctx.fill();
      u.ctx.stroke();
    };
    const options = () => {
      const ink = colour(figure, "--soft");
      const line = colour(figure, "--line");
      const font = '11px system-ui, "DejaVu Sans", sans-serif';
      const axis = { stroke: ink, font, grid: { stroke: line, width: 1 }, ticks: { show: false } };
      return {
        ...size(),
        legend: { show: false },
        padding: [8, 12, 0, 0],
        cursor: { y: false, drag: { x: true, y: false, setScale: false }, sync: { key: "steps", setSeries: false } },
        scales: {
          x: { time: false, range: () => shown },
          y: { range: (u, low, high) => (zoomed() && low != null && high > low ? uPlot.rangeNum(low, high, 0.08, false) : range) },
        },
        axes: [
          { ...axis, grid: { show: false }, size: 26, space: 60, values: (u, found) => found.map((step) => (Number.isInteger(step) ? step.toLocaleString("en") : "")) },
          { ...axis, space: 30, gap: 4, size: (u, found) => 10 + 7 * Math.max(3, ...(found ?? []).map((each) => each.length)), values: (u, found) => found.map(short) },
        ],
        series: [{}, ...curves.map((curve) => ({
          stroke: curve.bold ? colour(figure, "--ink") : curveColour(figure, curve.colour),
          width: curve.bold ? 1.9 : 1.4,
          points: { show: curve.values.filter((value) => value !== "" && value !== null).length < 2 },
        }))],
        hooks: {
          setCursor: [(u) => tip.show(u)],
          draw: [(u) => mark && circle(u, mark)],
          setSelect: [(u) => {
            const { left, width } = u.select;
            u.setSelect({ left: 0, width: 0, top: 0, height: 0 }, false);
            if (width > 3) limits(u.posToVal(left, "x"), u.posToVal(left + width, "x"));
          }],
        },
      };
    };

    function build() {
      plot?.destroy();
      plot = new uPlot(options(), [steps, ...columns], holder);
      limits(...shown);
      holder.append(tip.box, reset);
      tip.box.hidden = true;
      listen();
    }

    function listen() {
      plot.over.addEventListener("dblclick", () => limits(first, last));
      const fingers = new Map();
      let gap = 0;
      plot.over.style.touchAction = "pan-y";
      const spread = () => Math.abs([...fingers.values()].reduce((a, b) => a - b));
      plot.over.addEventListener("pointerdown", (event) => {
        if (event.pointerType !== "touch") return;
        fingers.set(event.pointerId, event.offsetX);
        if (fingers.size === 2) gap = spread();
        else plot.setCursor({ left: event.offsetX, top: event.offsetY });
      });
      plot.over.addEventListener("pointermove", (event) => {
        if (!fingers.has(event.pointerId)) return;
        fingers.set(event.pointerId, event.offsetX);
        if (fingers.size === 2 && gap > 10 && spread() > 10) {
          const middle = plot.posToVal([...fingers.values()].reduce((a, b) => a + b) / 2, "x");
          const { min, max } = plot.scales.x;
          const share = gap / spread();
          limits(middle - (middle - min) * share, middle + (max - middle) * share);
          gap = spread();
        } else plot.setCursor({ left: event.offsetX, top: event.offsetY });
      });
      for (const end of ["pointerup", "pointercancel"]) plot.over.addEventListener(end, (event) => fingers.delete(event.pointerId));
    }

    reset.addEventListener("click", () => limits(first, last));
    holder.tabIndex = 0;
    holder.setAttribute("role", "group");
    holder.setAttribute("aria-label", `${figure.querySelector("figcaption").textContent}: arrow keys read values, plus and minus zoom, 0 shows the whole curve`);
    holder.addEventListener("keydown", (event) => {
      const { min, max } = plot.scales.x;
      const at = plot.cursor.idx ?? 0;
      const zoom = (share) => limits(steps[at] - (steps[at] - min) * share, steps[at] + (max - steps[at]) * share);
      const to = (place) => {
        const inside = Math.min(Math.max(place, 0), steps.length - 1);
        plot.setCursor({ left: plot.valToPos(steps[inside], "x"), top: 10 });
      };
      const keys = { ArrowLeft: () => to(at - 1), ArrowRight: () => to(plot.cursor.idx == null ? 0 : at + 1), "+": () => zoom(0.5), "=": () => zoom(0.5), "-": () => zoom(2), 0: () => limits(first, last) };
      if (!(event.key in keys) || event.ctrlKey || event.metaKey || event.altKey) return;
      keys[event.key]();
      event.preventDefault();
    });

    drawing.append(holder);
    figure.classList.add("drawn"); // hides the static drawing
    build();
    new ResizeObserver(() => { if (holder.clientWidth && holder.clientWidth !== plot.width) plot.setSize(size()); }).observe(holder);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", build);
  }

  function curveColour(figure, name) {
    const probe = element("i", name);
    figure.append(probe);
    const found = colour(probe, "--c");
    probe.remove();
    return found;
  }

  for (const figure of document.querySelectorAll("figure.panel")) {
    if (figure.querySelector("script.numbers")) draw(figure);
  }
})();
