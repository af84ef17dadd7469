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
  const box = document.createElement("label");
  const field = document.createElement("input");
  const count = document.createElement("span");
  box.className = "filter";
  field.type = "search";
  count.setAttribute("role", "status");
  box.append("Filter ", field, count);
  table.parentElement.before(box);
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
if (only) {
  only.hidden = false;
  const choice = only.querySelector("select");
  choice.addEventListener("change", () => {
    const name = choice.value;
    const [rows, figures] = ["tr[data-strategy]", "figure[data-shows]"].map((what) => [...document.querySelectorAll(what)]);
    for (const row of rows) row.hidden = name !== "" && ![name, "no_shift"].includes(row.dataset.strategy);
    for (const figure of figures) {
      const shown = figure.dataset.shows.split("\n").map((entry) => entry.split(",")[0]);
      const mechanisms = shown.filter((entry) => [...choice.options].some((option) => option.value === entry));
      figure.hidden = name !== "" && mechanisms.length > 0 && !mechanisms.includes(name);
    }
    const left = rows.filter((row) => !row.hidden).length;
    only.querySelector("[role=status]").textContent = name ? `${left} of ${rows.length} rows, no_shift beside` : "";
  });
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
