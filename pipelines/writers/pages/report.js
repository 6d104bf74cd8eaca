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

  // Cards beyond the first stand in the page as text and become elements when they come near.
  const unfold = (card) => {
    const source = one(":scope > script", card);
    if (source) card.innerHTML = source.textContent; // written by the same template, escaped; the policy runs nothing in it
  };
  const cards = all(".card");
  const near = new IntersectionObserver((entries) => {
    for (const entry of entries) if (entry.isIntersecting) { near.unobserve(entry.target); unfold(entry.target); }
  }, { rootMargin: "1500px" });
  for (const card of cards) if (one(":scope > script", card)) near.observe(card);

  // The table of findings: sorted by a column, filtered by text, pattern, scan and size. Rows are put in as they are
  // scrolled to: laying out thousands at once is what takes time.
  const table = one("#findings table"), BATCH = 120;
  let allRows = () => {};
  if (table) {
    const body_ = table.tBodies[0], box = table.closest(".scroll");
    const rest = document.createElement("tbody"), folded = document.getElementById("rows");
    if (folded) rest.innerHTML = folded.textContent; // as the cards
    const store = [...all("tr", body_), ...all("tr", rest)].map((row, k) => ({
      row, k, text: row.textContent.toLowerCase(), scan: row.dataset.scan, pattern: row.dataset.pattern,
      size: row.dataset.size === "" ? NaN : Number(row.dataset.size),
    }));
    let order = store, shown = [], placed = 0;
    const more = (count = BATCH) => {
      if (placed >= shown.length) return;
      body_.append(...shown.slice(placed, placed + count).map((e) => e.row));
      placed = Math.min(shown.length, placed + count);
    };
    allRows = () => more(Infinity);
    box.addEventListener("scroll", () => { if (box.scrollTop + box.clientHeight > box.scrollHeight - 800) more(); });
    const place = (entries) => {
      shown = entries;
      placed = 0;
      body_.replaceChildren();
      box.scrollTop = 0;
      more();
    };

    const controls = one("#findings .filters"), said = one("output", controls), fields = controls.elements;
    const filter = () => {
      const words = fields.words.value.toLowerCase().split(/\s+/).filter(Boolean);
      const scan = fields.scan.value, pattern = fields.pattern.value, least = fields.least.value;
      place(order.filter((e) => (!scan || e.scan === scan) && (!pattern || e.pattern === pattern)
        && (least === "" || e.size >= Number(least)) && words.every((w) => e.text.includes(w))));
      said.textContent = `${shown.length} of ${store.length} shown`;
    };
    controls.addEventListener("input", filter);
    controls.addEventListener("submit", (event) => event.preventDefault());
    controls.addEventListener("reset", () => setTimeout(filter));

    const value = (entry, column) => {
      const cell = entry.row.cells[column], raw = cell.dataset.v;
      if (raw === undefined) return cell.textContent.trim().toLowerCase();
      return raw === "" ? null : Number(raw);
    };
    const empty = (v) => v === null || v === "\u2013" || v === "";
    const { compare } = new Intl.Collator("en", { numeric: true });
    const sort = (column, up) => {
      const keyed = store.map((entry) => [value(entry, column), entry]);
      keyed.sort(([a, x], [b, y]) => {
        if (empty(a) || empty(b)) return empty(a) - empty(b) || x.k - y.k; // what is missing stays last
        const first = typeof a === "number" ? a - b : compare(a, b);
        return (up ? first : -first) || x.k - y.k;
      });
      order = keyed.map(([, entry]) => entry);
      filter();
    };
    for (const button of all("thead button", table)) {
      const head = button.closest("th");
      button.addEventListener("click", () => {
        const before = head.getAttribute("aria-sort"), numeric = head.classList.contains("n");
        const up = before === null ? !numeric : before === "descending";
        for (const th of all("[aria-sort]", table)) th.removeAttribute("aria-sort");
        head.setAttribute("aria-sort", up ? "ascending" : "descending");
        sort(head.cellIndex, up);
      });
    }
    filter();
  }

  // n and p: the next and the previous finding.
  let at = -1;
  const go = (k) => {
    at = Math.max(0, Math.min(cards.length - 1, k));
    unfold(cards[at]);
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
  window.addEventListener("beforeprint", () => {
    allRows();
    cards.forEach(unfold);
    for (const part of all("details.print")) part.open = true;
  });
})();
