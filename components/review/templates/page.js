"use strict";
// Sorts a table by the column whose heading is pressed; "not enough" stays last.
document.querySelectorAll("table.sortable").forEach((table) => {
  const headings = table.querySelectorAll("thead th");
  headings.forEach((heading, column) => heading.querySelector("button").addEventListener("click", () => {
    const ascending = heading.getAttribute("aria-sort") !== "ascending";
    headings.forEach((other) => other.removeAttribute("aria-sort"));
    heading.setAttribute("aria-sort", ascending ? "ascending" : "descending");
    const key = (row) => row.children[column].dataset.value;
    const body = table.tBodies[0];
    body.append(...[...body.rows].sort((a, b) => {
      const [x, y] = [key(a), key(b)];
      if (x === "" || y === "") return (x === "") - (y === "");
      const order = isNaN(x) || isNaN(y) ? x.localeCompare(y) : x - y;
      return ascending ? order : -order;
    }));
  }));
});

// Drawn once the page is laid out, when the width of each plot is known.
document.querySelectorAll("figure.plot").forEach((figure) => {
  const { data, layout, config } = JSON.parse(figure.querySelector("script").textContent);
  Plotly.newPlot(figure.querySelector("[role=img]"), data, layout, config);
});

// On paper, what is folded away cannot be opened, and plots must fit the sheet.
let folded = [];
const plots = () => document.querySelectorAll(".js-plotly-plot");
addEventListener("beforeprint", () => {
  folded = [...document.querySelectorAll("details:not([open])")];
  folded.forEach((item) => { item.open = true; });
  plots().forEach((plot) => Plotly.relayout(plot, { width: plot.closest(".pair") ? 330 : 660 }));
});
addEventListener("afterprint", () => {
  folded.forEach((item) => { item.open = false; });
  plots().forEach((plot) => Plotly.relayout(plot, { width: null, autosize: true }));
});
