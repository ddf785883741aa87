"use strict";
// Sorting of the table of trials. Without this file the page still shows everything.
(() => {
  document.documentElement.classList.add("with-js");

  // A table whose column names are buttons.
  const sortable = (table) => {
    const heads = [...table.tHead.rows[0].cells];
    heads.forEach((head, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = head.textContent;
      head.replaceChildren(button);
      head.setAttribute("aria-sort", "none");
      button.addEventListener("click", () => {
        const down = head.getAttribute("aria-sort") === "ascending";
        heads.forEach((other) => other.setAttribute("aria-sort", "none"));
        head.setAttribute("aria-sort", down ? "descending" : "ascending");
        sort(table.tBodies[0], column, down ? -1 : 1);
      });
    });
  };

  const sort = (body, column, direction) => {
    const key = (row) => {
      const cell = row.cells[column];
      return "number" in cell.dataset ? Number(cell.dataset.number) : cell.textContent;
    };
    const compare = (a, b) => {
      const [x, y] = [key(a), key(b)];
      if (x === "" || y === "") return (x === "") - (y === ""); // blanks stay last
      if (typeof x === "number" && typeof y === "number") return direction * (x - y);
      return direction * String(x).localeCompare(String(y), "en", { numeric: true });
    };
    body.append(...[...body.rows].sort(compare));
  };

  document.querySelectorAll("table.sortable").forEach(sortable);
  // Closed details would be missing from paper.
  addEventListener("beforeprint", () => document.querySelectorAll("details").forEach((own) => (own.open = true)));
})();
