for (const table of document.querySelectorAll("table.sortable")) {
  table.querySelectorAll("thead th").forEach((head, place) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const up = head.getAttribute("aria-sort") !== "ascending";
      table.querySelectorAll("thead th").forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", up ? "ascending" : "descending");
      const numeric = head.classList.contains("number");
      const key = (row) => row.cells[place].dataset.key;
      const body = table.tBodies[0];
      [...body.rows].sort((a, b) => {
        const [x, y] = [key(a), key(b)];
        if (x === "" || y === "") return (x === "") - (y === "");
        const order = numeric ? x - y : x.localeCompare(y);
        return up ? order : -order;
      }).forEach((row) => body.append(row));
    });
  });
  const rows = [...table.tBodies[0].rows];
  if (rows.length < 8) continue;
  const bar = document.createElement("div");
  const save = document.createElement("a"); // what is shown now: a page may travel without its tables
  bar.className = "filter";
  save.textContent = "Save as CSV";
  save.href = "data:text/csv,";
  save.download = `${table.closest("[id]").id}.csv`;
  save.addEventListener("click", () => {
    const quoted = (cell) => `"${cell.innerText.trim().replaceAll("\u2212", "-").replaceAll('"', '""')}"`;
    const shown = [...table.rows].filter((row) => !row.hidden && !row.classList.contains("out"));
    const lines = shown.map((row) => [...row.cells].map(quoted).join(","));
    save.href = `data:text/csv;charset=utf-8,${encodeURIComponent(lines.join("\r\n"))}`;
  });
  const box = document.createElement("label");
  const field = document.createElement("input");
  const count = document.createElement("span");
  field.type = "search";
  count.setAttribute("role", "status");
  box.append("Filter ", field);
  bar.append(box, count, save);
  table.parentElement.before(bar);
  field.addEventListener("input", () => {
    const words = field.value.toLowerCase().split(/\s+/).filter(Boolean);
    for (const row of rows) {
      const text = row.textContent.toLowerCase();
      row.classList.toggle("out", !words.every((word) => text.includes(word)));
    }
    const left = rows.filter((row) => !row.classList.contains("out")).length;
    count.textContent = words.length ? `${left} of ${rows.length} rows` : "";
  });
}
const only = document.getElementById("only");
const originals = new Map();
// A figure is a picture, in which nothing runs: it is read, what was not chosen is made faint, and it is put back.
const redraw = (figure, fits) => {
  const image = figure.querySelector("img");
  if (!originals.has(image)) originals.set(image, image.src);
  const [kind, ...text] = originals.get(image).split(",");
  const drawing = new DOMParser().parseFromString(decodeURIComponent(text.join(",")), "image/svg+xml");
  const parts = [...drawing.querySelectorAll('[id^="{"]')].map((part) => [part, JSON.parse(part.id)]);
  figure.hidden = fits.some((fit) => {
    const told = parts.map(([, shows]) => fit(shows)).filter((fitting) => fitting !== null);
    return told.length > 0 && !told.includes(true);
  });
  for (const [part, shows] of parts) {
    if (fits.some((fit) => fit(shows) === false)) part.setAttribute("opacity", "0.12");
  }
  image.src = `${kind},${encodeURIComponent(new XMLSerializer().serializeToString(drawing))}`;
};
const filter = () => {
  const [strategy, panel] = ["strategy", "panel"].map((name) => only.elements[name]?.value);
  const fits = []; // null: it is of no mechanism or panel, so it stays; so does no_shift, which all are held against
  if (strategy) fits.push((shows) => ([undefined, "no_shift"].includes(shows.strategy) ? null : shows.strategy === strategy));
  if (panel) fits.push((shows) => shows.panels?.includes(panel) ?? null);
  const parts = [...document.querySelectorAll("[data-strategy], [data-panel]")];
  for (const part of parts) {
    const { strategy, panel } = part.dataset;
    part.hidden = fits.some((fit) => fit({ strategy, panels: panel && [panel] }) === false);
  }
  document.querySelectorAll("figure").forEach((figure) => redraw(figure, fits));
  const rows = parts.filter((part) => part.tagName === "TR");
  const left = rows.filter((row) => !row.hidden).length;
  only.querySelector("[role=status]").textContent = fits.length ? `${left} of ${rows.length} rows` : "";
};
if (only) {
  only.hidden = false;
  only.addEventListener("change", filter);
  only.addEventListener("submit", (event) => event.preventDefault());
}
addEventListener("beforeprint", () => document.querySelectorAll("section > details").forEach((part) => (part.open = true)));
const reveal = () => {
  const place = document.getElementById(location.hash.slice(1));
  const inside = place?.querySelector(":scope > details");
  if (inside) inside.open = true;
  for (let part = place; part; part = part.parentElement) {
    if (part.tagName === "DETAILS") part.open = true;
  }
  place?.scrollIntoView();
};
addEventListener("hashchange", reveal);
if (location.hash) reveal();
