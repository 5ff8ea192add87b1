// A picture that is pressed is shown 1,000 px wide; Escape or the button closes it.
const zoom = document.querySelector("dialog.zoom");
document.querySelectorAll(".pictures button").forEach((button) => button.addEventListener("click", () => {
  const [small, large] = [button.querySelector("img"), zoom.querySelector("img")];
  [large.src, large.alt] = [small.src, small.alt];
  const size = `${small.naturalWidth} × ${small.naturalHeight} pixels are on this page`;
  zoom.querySelector("p").textContent = `${small.alt} · ${size}`;
  zoom.showModal();
}));

// What a reader thinks of labels: an image that stands in several lists has one mark, and all marks
// go into one CSV file. Nothing leaves the page by itself.
const marks = [...document.querySelectorAll(".marking select")];
const sameImage = (a, b) => ["file", "finding"].every((key) => a.dataset[key] === b.dataset[key]);
function countMarks() {
  const seen = marks.filter((mark, place) => mark.value && marks.findIndex((other) => sameImage(mark, other)) === place);
  document.querySelectorAll(".marks").forEach((part) => {
    part.querySelector("output").textContent = `${seen.length} marked`;
    part.querySelector("button").disabled = !seen.length;
  });
  return seen;
}
marks.forEach((mark) => mark.addEventListener("change", () => {
  marks.filter((other) => sameImage(mark, other)).forEach((other) => { other.value = mark.value; });
  countMarks();
}));
document.querySelectorAll(".marks button").forEach((button) => button.addEventListener("click", () => {
  const columns = ["file", "finding", "label", "called", "score"];
  const quoted = (cells) => cells.map((cell) => `"${cell.replaceAll('"', '""')}"`).join(",");
  const rows = countMarks().map((mark) => quoted([...columns.map((name) => mark.dataset[name]), mark.value]));
  const text = [quoted([...columns, "mark"]), ...rows, ""].join("\r\n");
  const link = document.createElement("a");
  link.href = `data:text/csv;charset=utf-8,${encodeURIComponent(text)}`;
  link.download = button.dataset.name;
  link.click();
}));
countMarks();
