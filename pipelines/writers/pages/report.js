"use strict";
(() => {
  const body = document.body;
  const one = (selector, root = document) => root.querySelector(selector);
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  for (const part of all("[data-script]")) part.hidden = false;

  // Outlines of findings and of excluded candidates.
  for (const box of all("nav input[data-shows]")) {
    const apply = () => body.classList.toggle(box.dataset.shows, box.checked);
    box.addEventListener("change", apply);
    apply();
  }

  // The table of findings: sorted by a column, filtered by text, pattern, scan and size.
  const table = one("#findings table");
  if (table) {
    const rows = all("tbody tr", table);
    const store = rows.map((row, k) => ({
      row, k, text: row.textContent.toLowerCase(), scan: row.dataset.scan, pattern: row.dataset.pattern,
      size: row.dataset.size === "" ? NaN : Number(row.dataset.size),
    }));
    const value = (entry, column) => {
      const cell = entry.row.cells[column];
      const raw = cell.dataset.v;
      if (raw === undefined) return cell.textContent.trim().toLowerCase();
      return raw === "" ? null : Number(raw);
    };
    const empty = (v) => v === null || v === "\u2013" || v === "";
    const sort = (column, up) => {
      const keyed = store.map((entry) => [value(entry, column), entry]);
      keyed.sort(([a, x], [b, y]) => {
        if (empty(a) || empty(b)) return empty(a) - empty(b) || x.k - y.k; // what is missing stays last
        const order = typeof a === "number" ? a - b : a.localeCompare(b, "en", { numeric: true });
        return (up ? order : -order) || x.k - y.k;
      });
      table.tBodies[0].append(...keyed.map(([, entry]) => entry.row));
    };
    all("thead button", table).forEach((button) => {
      const head = button.closest("th");
      button.addEventListener("click", () => {
        const numeric = head.classList.contains("n");
        const before = head.getAttribute("aria-sort");
        const up = before === null ? !numeric : before === "descending";
        for (const th of all("[aria-sort]", table)) th.removeAttribute("aria-sort");
        head.setAttribute("aria-sort", up ? "ascending" : "descending");
        sort(head.cellIndex, up);
      });
    });
    const controls = one("#findings .filters");
    const said = one("output", controls);
    const filter = () => {
      const words = controls.elements.words.value.toLowerCase().split(/\s+/).filter(Boolean);
      const scan = controls.elements.scan.value, pattern = controls.elements.pattern.value;
      const least = controls.elements.least.value === "" ? -Infinity : Number(controls.elements.least.value);
      let shown = 0;
      for (const e of store) {
        const fits = (!scan || e.scan === scan) && (!pattern || e.pattern === pattern)
          && (least === -Infinity || e.size >= least) && words.every((w) => e.text.includes(w));
        e.row.hidden = !fits;
        shown += fits;
      }
      said.textContent = `${shown} of ${store.length} shown`;
    };
    controls.addEventListener("input", filter);
    controls.addEventListener("submit", (event) => event.preventDefault());
    controls.addEventListener("reset", () => setTimeout(filter));
    filter();
  }

  // n and p: the next and the previous finding.
  const cards = all(".card");
  let at = -1;
  const go = (k) => {
    at = Math.max(0, Math.min(cards.length - 1, k));
    cards[at].focus({ preventScroll: true });
    cards[at].scrollIntoView({ block: "start" });
  };
  document.addEventListener("focusin", (event) => {
    const card = event.target.closest && event.target.closest(".card");
    if (card) at = cards.indexOf(card);
  });
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName)) return;
    if (!cards.length) return;
    if (event.key === "n") go(at + 1);
    else if (event.key === "p") go(at - 1);
    else if (event.key === "x") one("nav input[data-shows='show-excluded']").click();
    else if (event.key === "o") one("nav input[data-shows='show-findings']").click();
  });
  window.addEventListener("beforeprint", () => { for (const d of all("details.print")) d.open = true; });
})();
