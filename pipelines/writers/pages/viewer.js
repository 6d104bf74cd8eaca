"use strict";
(() => {
  const byId = (id) => document.getElementById(id);
  const data = JSON.parse(byId("data").textContent);
  const stage = byId("stage"), canvas = stage.querySelector("canvas"), context = canvas.getContext("2d");
  const slider = byId("slice"), select = byId("window"), showsFindings = byId("findings"), showsExcluded = byId("excluded");
  const { slices, rows, columns, spacing, origin, steps, letters, unit, codes } = data;
  const MINUS = "\u2212";
  const number = (v, digits = 0) => v.toFixed(digits).replace("-", MINUS);

  // Runs of labels: four uint16 each (slice, row, first column, length), sorted by slice; and their numbers.
  const decode = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0)).buffer;
  const runs = (part) => ({ at: new Uint16Array(decode(part.runs)), number: new Uint32Array(decode(part.numbers)) });
  const found = runs(data.findings), left = runs(data.excluded);
  const first = (part) => {
    const start = new Uint32Array(slices + 1);
    for (let k = 0; k < part.number.length; k++) start[part.at[4 * k] + 1]++;
    for (let s = 0; s < slices; s++) start[s + 1] += start[s];
    return start;
  };
  found.start = first(found); left.start = first(left);

  // The borders of the labels of a slice, along the edges of voxels.
  const border = new Map();
  const labels = new Int32Array((rows + 2) * (columns + 2));
  const outline = (part, slice) => {
    const key = (part === found ? "f" : "x") + slice;
    if (border.has(key)) return border.get(key);
    const path = new Path2D(), wide = columns + 2;
    const each = (act) => { for (let k = part.start[slice]; k < part.start[slice + 1]; k++) act(part.at[4 * k + 1], part.at[4 * k + 2], part.at[4 * k + 3], part.number[k]); };
    each((r, c, n, id) => labels.fill(id, (r + 1) * wide + c + 1, (r + 1) * wide + c + 1 + n));
    each((r, c, n, id) => {
      const here = (r + 1) * wide + c + 1;
      if (labels[here - 1] !== id) { path.moveTo(c, r); path.lineTo(c, r + 1); }
      if (labels[here + n] !== id) { path.moveTo(c + n, r); path.lineTo(c + n, r + 1); }
      for (const [beside, y] of [[-wide, r], [wide, r + 1]]) {
        let from = -1;
        for (let j = 0; j <= n; j++) {
          const open = j < n && labels[here + j + beside] !== id;
          if (open && from < 0) from = j;
          if (!open && from >= 0) { path.moveTo(c + from, y); path.lineTo(c + j, y); from = -1; }
        }
      }
    });
    each((r, c, n) => labels.fill(0, (r + 1) * wide + c + 1, (r + 1) * wide + c + 1 + n));
    if (border.size > 400) border.clear();
    border.set(key, path);
    return path;
  };

  // Images: decoded when they are looked at, grey levels mapped through the window.
  const images = new Map();
  const load = (slice) => {
    if (!images.has(slice)) {
      const image = new Image();
      image.src = "data:image/jpeg;base64," + byId("s" + slice).textContent.trim();
      images.set(slice, image.decode().then(() => image));
      if (images.size > 64) images.delete(images.keys().next().value);
    }
    return images.get(slice);
  };
  const buffer = document.createElement("canvas"), pixels = buffer.getContext("2d", { willReadFrequently: true });
  let raw = null, shownRaw = -1, table = null;
  const setWindow = () => {
    if (!select) return;
    const [width, level] = select.value.split(",").map(Number);
    table = codes.map((hu) => Math.max(0, Math.min(255, Math.round((hu - level + width / 2) * 255 / width))));
  };
  const paint = (image, slice) => {
    if (slice !== shownRaw) {
      buffer.width = image.naturalWidth; buffer.height = image.naturalHeight;
      pixels.drawImage(image, 0, 0);
      raw = pixels.getImageData(0, 0, buffer.width, buffer.height);
      shownRaw = slice;
    }
    if (!table) { pixels.putImageData(raw, 0, 0); return; }
    const grey = new ImageData(buffer.width, buffer.height), from = raw.data, to = grey.data;
    for (let k = 0; k < from.length; k += 4) { to[k] = to[k + 1] = to[k + 2] = table[from[k]]; to[k + 3] = 255; }
    pixels.putImageData(grey, 0, 0);
  };

  // The view: which slice, how many screen pixels a unit, and what lies in the middle (in units from the corner).
  const size = [columns * spacing[1], rows * spacing[0]];
  const view = { slice: Math.floor(slices / 2), zoom: 1, x: size[0] / 2, y: size[1] / 2, finding: 0, cursor: null };
  const scale = () => Math.min(stage.clientWidth / size[0], stage.clientHeight / size[1]) * view.zoom;
  let drawn = 0;
  const draw = async () => {
    const turn = ++drawn;
    const image = await load(view.slice);
    if (turn !== drawn) return;
    byId("wait").hidden = true;
    paint(image, view.slice);
    const ratio = window.devicePixelRatio || 1, w = stage.clientWidth, h = stage.clientHeight, s = scale();
    canvas.width = Math.round(w * ratio); canvas.height = Math.round(h * ratio);
    const place = () => context.setTransform(
      ratio * s * spacing[1], 0, 0, ratio * s * spacing[0], ratio * (w / 2 - view.x * s), ratio * (h / 2 - view.y * s));
    place();
    context.imageSmoothingEnabled = true; context.imageSmoothingQuality = "high";
    const ahead = (list, colour, width) => {
      const path = new Path2D();
      place();
      path.addPath(list, context.getTransform());
      context.setTransform(1, 0, 0, 1, 0, 0);
      context.strokeStyle = colour; context.lineWidth = width * ratio; context.lineCap = "square"; context.stroke(path);
    };
    context.drawImage(buffer, 0, 0, columns, rows);
    if (showsExcluded.checked) {
      ahead(outline(left, view.slice), "#56b4e9", 1);
      const cross = new Path2D();
      for (const [slice, row, column] of data.marks) if (slice === view.slice) for (const d of [-1, 1]) {
        cross.moveTo(column - 4, row - 4 * d); cross.lineTo(column + 4, row + 4 * d);
      }
      ahead(cross, "#56b4e9", 1.4);
    }
    if (showsFindings.checked) {
      ahead(outline(found, view.slice), "#ff8c3a", 1.6);
      const lines = new Path2D();
      for (const line of data.lines[view.slice] || []) line.forEach(([x, y], k) => (k ? lines.lineTo(x, y) : lines.moveTo(x, y)));
      context.setLineDash([5 * ratio, 4 * ratio]); ahead(lines, "#f0e442", 1.2); context.setLineDash([]);
      number_findings(ratio, place);
    }
    context.setTransform(1, 0, 0, 1, 0, 0);
    legend(s);
    for (const near of [1, -1, 2]) { const k = view.slice + near; if (k >= 0 && k < slices) load(k); }
  };
  const number_findings = (ratio, place) => {
    const boxes = new Map();
    for (let k = found.start[view.slice]; k < found.start[view.slice + 1]; k++) {
      const id = found.number[k], r = found.at[4 * k + 1], c = found.at[4 * k + 2], n = found.at[4 * k + 3];
      const b = boxes.get(id) || [c, r, c, r];
      boxes.set(id, [Math.min(b[0], c), Math.min(b[1], r), Math.max(b[2], c + n), Math.max(b[3], r + 1)]);
    }
    place(); const m = context.getTransform();
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.font = `600 ${13 * ratio}px system-ui, sans-serif`; context.lineJoin = "round"; context.lineWidth = 3 * ratio;
    for (const [id, [x0, y0, x1, y1]] of boxes) {
      const p = m.transformPoint(new DOMPoint(x0, y0)), q = m.transformPoint(new DOMPoint(x1, y1));
      const x = Math.max(p.x, q.x) + 4 * ratio, y = Math.min(p.y, q.y) - 3 * ratio;
      context.strokeStyle = "#000"; context.strokeText(id, x, y);
      context.fillStyle = id === view.finding ? "#ff8c3a" : "#fff"; context.fillText(id, x, y);
    }
  };

  // Patient coordinates, and indices in the scan, of a place: row and column count from the centre of the first pixel.
  const at = (base, along, row, column) => base.map((v, a) => v + view.slice * along[0][a] + row * along[1][a] + column * along[2][a]);
  const world = (row, column) => at(origin, steps, row, column);
  const legend = (s) => {
    const name = data.ultrasound ? "frame" : "slice", middle = world((rows - 1) / 2, (columns - 1) / 2);
    const axis = data.axis, where = axis < 0 ? "" : ` \u00b7 ${"xyz"[axis]} ${number(middle[axis], 1)} mm`;
    byId("where").textContent = `${name} ${view.slice + data.first} of ${data.first}\u2013${data.first + slices - 1}${where}`
      + (select ? `\n${select.selectedOptions[0].textContent}` : "") + (view.finding ? `\nfinding ${view.finding}` : "");
    slider.value = view.slice;
    slider.setAttribute("aria-valuetext", byId("where").textContent);
    const length = [1, 2, 5, 10, 20, 50, 100, 200, 500].filter((v) => v * s <= 0.25 * stage.clientWidth).pop() || 1;
    const bar = byId("bar"); bar.style.width = `${length * s}px`; bar.firstElementChild.textContent = `${length} ${unit}`;
    read();
  };
  const read = () => {
    const under = byId("under");
    if (!view.cursor) { under.textContent = ""; return; }
    const [row, column] = view.cursor;
    if (row < 0 || column < 0 || row >= rows || column >= columns) { under.textContent = ""; return; }
    const text = [];
    if (data.axis >= 0) {
      const [x, y, z] = world(row - 0.5, column - 0.5);
      text.push(`LPS ${number(x, 1)}, ${number(y, 1)}, ${number(z, 1)} mm`);
    }
    const [i, j] = at(data.index, data.strides, row - 0.5, column - 0.5);
    text.push(`row ${Math.round(i)}, column ${Math.round(j)}`);
    if (raw && select && shownRaw === view.slice) {
      const y = Math.min(raw.height - 1, Math.floor(row * raw.height / rows)), x = Math.min(raw.width - 1, Math.floor(column * raw.width / columns));
      text.push(`about ${number(codes[raw.data[4 * (y * raw.width + x)]])} HU`);
    }
    under.textContent = text.join("\n");
  };
  const pick = (event) => {
    const box = stage.getBoundingClientRect(), s = scale();
    const x = view.x + (event.clientX - box.left - box.width / 2) / s, y = view.y + (event.clientY - box.top - box.height / 2) / s;
    view.cursor = [y / spacing[0], x / spacing[1]];
    read();
  };

  // What the reader does.
  const show = (slice) => { view.slice = Math.max(0, Math.min(slices - 1, slice)); draw(); };
  const fit = () => { Object.assign(view, { zoom: 1, x: size[0] / 2, y: size[1] / 2 }); draw(); };
  const zoom = (factor) => { view.zoom = Math.max(1, Math.min(24, view.zoom * factor)); if (view.zoom === 1) fit(); else draw(); };
  const listed = [...document.querySelectorAll("tr[data-finding]")];
  const jump = (id) => {
    const place = data.places[id];
    if (!place) return;
    const [slice, row, column, extent] = place;
    view.finding = id;
    view.slice = slice;
    view.x = column * spacing[1];
    view.y = row * spacing[0];
    view.zoom = Math.max(1, Math.min(6, Math.min(...size) / Math.max(data.near, 2 * extent)));
    for (const row_ of listed) row_.classList.toggle("here", Number(row_.dataset.finding) === id);
    const here = listed.find((r) => r.classList.contains("here"));
    if (here && getComputedStyle(here.closest("aside")).borderLeftWidth !== "0px") here.scrollIntoView({ block: "nearest" });
    draw();
  };
  const goTo = (id) => { if (location.hash === `#finding=${id}`) jump(id); else location.hash = `finding=${id}`; };
  const step = (by) => {
    const ids = listed.map((r) => Number(r.dataset.finding));
    if (!ids.length) return;
    const k = ids.indexOf(view.finding);
    goTo(ids[k < 0 ? (by > 0 ? 0 : ids.length - 1) : (k + by + ids.length) % ids.length]);
  };
  const follow = () => { const m = /^#finding=(\d+)$/.exec(location.hash); if (m) jump(Number(m[1])); };
  window.addEventListener("hashchange", follow);
  for (const row of listed) row.addEventListener("click", (event) => { event.preventDefault(); goTo(Number(row.dataset.finding)); });
  byId("next").addEventListener("click", () => step(1));
  byId("previous").addEventListener("click", () => step(-1));
  byId("fit").addEventListener("click", fit);
  slider.max = slices - 1;
  slider.addEventListener("input", () => show(Number(slider.value)));
  if (select) select.addEventListener("change", () => { setWindow(); draw(); });
  for (const box of [showsFindings, showsExcluded]) box.addEventListener("change", () => draw());

  let rolled = 0;
  stage.addEventListener("wheel", (event) => {
    event.preventDefault();
    if (event.ctrlKey) { zoom(Math.exp(-event.deltaY / 300)); return; }
    rolled += event.deltaMode === 1 ? event.deltaY * 20 : event.deltaY;
    const by = Math.trunc(rolled / 40);
    if (by) { rolled -= by * 40; show(view.slice + by); }
  }, { passive: false });
  stage.addEventListener("dblclick", fit);
  const fingers = new Map();
  let moved = 0;
  stage.addEventListener("pointerdown", (event) => { fingers.set(event.pointerId, event); moved = 0; stage.setPointerCapture(event.pointerId); stage.focus({ preventScroll: true }); });
  stage.addEventListener("pointermove", (event) => {
    pick(event);
    const before = fingers.get(event.pointerId);
    if (!before) return;
    const dx = event.clientX - before.clientX, dy = event.clientY - before.clientY;
    if (fingers.size === 2) {
      const other = [...fingers.values()].find((f) => f.pointerId !== event.pointerId);
      const apart = (a) => Math.hypot(a.clientX - other.clientX, a.clientY - other.clientY);
      fingers.set(event.pointerId, event);
      zoom(Math.max(0.5, Math.min(2, apart(event) / Math.max(1, apart(before)))));
    } else if (event.pointerType === "touch" && view.zoom === 1) {
      moved += dy; fingers.set(event.pointerId, event);
      const by = Math.trunc(moved / 12);
      if (by) { moved -= by * 12; show(view.slice + by); }
    } else {
      fingers.set(event.pointerId, event);
      view.x -= dx / scale(); view.y -= dy / scale(); draw();
    }
  });
  for (const name of ["pointerup", "pointercancel"]) stage.addEventListener(name, (event) => fingers.delete(event.pointerId));
  stage.addEventListener("pointerleave", () => { view.cursor = null; read(); });
  const keys = {
    ArrowUp: () => show(view.slice - 1), ArrowDown: () => show(view.slice + 1), ArrowLeft: () => show(view.slice - 1), ArrowRight: () => show(view.slice + 1),
    PageUp: () => show(view.slice - 10), PageDown: () => show(view.slice + 10), Home: () => show(0), End: () => show(slices - 1),
    n: () => step(1), p: () => step(-1), "+": () => zoom(1.25), "=": () => zoom(1.25), "-": () => zoom(0.8), 0: fit,
    o: () => showsFindings.click(), x: () => showsExcluded.click(),
    w: () => { if (select) { select.selectedIndex = (select.selectedIndex + 1) % select.options.length; setWindow(); draw(); } },
  };
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.tagName === "SELECT") return;
    if (event.target === slider && event.key.length > 1) return;
    const act = keys[event.key];
    if (act && (event.key.length === 1 || stage.contains(event.target) || event.target === document.body)) { event.preventDefault(); act(); }
  });
  ["left", "right", "top", "bottom"].forEach((side, k) => { stage.querySelector("." + side).textContent = letters[k] || ""; });
  new ResizeObserver(() => draw()).observe(stage);
  setWindow();
  if (location.hash) follow();
  if (!view.finding) show(view.slice);
})();
