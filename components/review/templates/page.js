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

// Drawn once the page is laid out, when the width of each plot is known; what is hidden has none.
const drawPlots = () => document.querySelectorAll("figure.plot").forEach((figure) => {
  const place = figure.querySelector("[role=img]");
  if (place.classList.contains("js-plotly-plot") || figure.closest("[hidden]")) return;
  const { data, layout, config } = JSON.parse(figure.querySelector("script").textContent);
  Plotly.newPlot(place, data, layout, config);
});

// Of several findings, one is shown at a time; without JavaScript, all of them are.
const findings = document.querySelectorAll(".finding");
const choice = document.getElementById("finding");
function showFinding(name) {
  findings.forEach((part) => { part.hidden = part.dataset.name !== name; });
  if (choice) choice.value = name;
  drawPlots();
}
if (choice) {
  choice.addEventListener("change", () => showFinding(choice.value));
  document.querySelectorAll("a[data-finding]").forEach((link) => {
    link.addEventListener("click", () => showFinding(link.dataset.finding));
  });
  showFinding(choice.options[0].value);
} else {
  drawPlots();
}

// On paper, what is folded away or not chosen cannot be had, and plots must fit the sheet.
let folded = [], unchosen = [];
const plots = () => document.querySelectorAll(".js-plotly-plot");
addEventListener("beforeprint", () => {
  folded = [...document.querySelectorAll("details:not([open])")];
  folded.forEach((item) => { item.open = true; });
  unchosen = [...findings].filter((part) => part.hidden);
  unchosen.forEach((part) => { part.hidden = false; });
  drawPlots();
  plots().forEach((plot) => Plotly.relayout(plot, { width: plot.closest(".pair") ? 330 : 660 }));
});
addEventListener("afterprint", () => {
  folded.forEach((item) => { item.open = false; });
  unchosen.forEach((part) => { part.hidden = true; });
  plots().forEach((plot) => Plotly.relayout(plot, { width: null, autosize: true }));
});
