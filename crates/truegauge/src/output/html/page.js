"use strict";
// Tables of the class `sortable`: a button in a heading sorts by its column, once more in the other direction. Figures
// come before words, and what is not known comes last either way.
for (const table of document.querySelectorAll("table.sortable")) {
  const headings = [...table.tHead.rows[0].cells];
  const body = table.tBodies[0];
  headings.forEach((heading, column) => {
    heading.querySelector("button").addEventListener("click", () => {
      const up = heading.getAttribute("aria-sort") === "descending";
      const key = (row) => row.cells[column].textContent;
      const rows = [...body.rows].sort((a, b) => compare(key(a), key(b), up ? 1 : -1));
      headings.forEach((other) => other.removeAttribute("aria-sort"));
      heading.setAttribute("aria-sort", up ? "ascending" : "descending");
      body.append(...rows);
      const status = table.closest("section").querySelector("[role=status]");
      if (status) status.textContent = `Sorted by ${heading.textContent}, ${up ? "ascending" : "descending"}`;
    });
  });
}

function compare(a, b, direction) {
  const known = (text) => text !== "–" && text !== "";
  if (known(a) !== known(b)) return known(a) ? -1 : 1;
  const [x, y] = [Number(a), Number(b)];
  const order = Number.isNaN(x) || Number.isNaN(y) ? a.localeCompare(b) : x - y;
  return order * direction;
}
