// The sliders: each counts anew, slice by slice, what the chosen threshold would have meant.
document.querySelectorAll("section.threshold").forEach((section) => {
  const data = JSON.parse(section.querySelector("script").textContent);
  const slider = section.querySelector("input[type=range]");
  const chosen = section.querySelector("output");
  const rows = section.querySelectorAll("table.moved tbody tr");
  const home = data.steps.indexOf(data.threshold);

  function count(members, called) {  // scores are sorted: the first `called` reach the threshold
    const counts = { tp: 0, fp: 0, fn: 0, tn: 0 };
    const add = (i) => {
      const positive = data.labels[i] === "1";
      counts[i < called ? (positive ? "tp" : "fp") : (positive ? "fn" : "tn")] += 1;
    };
    if (members) members.forEach(add);
    else for (let i = 0; i < data.labels.length; i += 1) add(i);
    return counts;
  }

  const share = (part, rest) => (part + rest ? part / (part + rest) : null);

  function figures({ tp, fp, fn, tn }) {
    const both = tp + fn > 0 && fp + tn > 0;
    return {
      sensitivity: share(tp, fn),
      specificity: share(tn, fp),
      precision: both ? share(tp, fp) : null,
      npv: both ? share(tn, fn) : null,
    };
  }

  function show() {
    const threshold = data.steps[slider.value];
    const below = data.scores.findIndex((score) => score < threshold);
    const called = below < 0 ? data.scores.length : below;
    const digits = threshold > 0.0015 && threshold < 0.9985 ? 3 : 5;
    const text = threshold.toFixed(digits) + (Number(slider.value) === home ? ", the operating point" : "");
    chosen.textContent = text;
    slider.setAttribute("aria-valuetext", text);
    data.slices.forEach((slice, index) => {
      const counts = count(slice.members, called);
      if (!slice.members && index === 0) {
        Object.entries(counts).forEach(([name, number]) => {
          section.querySelector(`table.confusion [data-count=${name}] b`).textContent = number;
        });
      }
      const values = figures(counts);
      rows[index].querySelectorAll("[data-metric]").forEach((cell) => {
        const value = slice.enough ? values[cell.dataset.metric] : null;
        cell.dataset.value = value ?? "";
        cell.textContent = value === null ? "not enough" : value.toFixed(3);
        cell.classList.toggle("none", value === null);
      });
    });
  }

  slider.addEventListener("input", show);
  section.querySelector("button").addEventListener("click", () => { slider.value = home; show(); });
  slider.value = home;  // a reloaded page may remember another
  show();
});
