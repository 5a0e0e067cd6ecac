// Adds sliders for threshold and prevalence to the ROC curves of medxfer_utils.plots.explorer.
// Without this file a reader has the figure and its words. Nobody is counted here: who is called
// ill at which threshold stands in the page.
(() => {
  "use strict";

  // Shares of the population that are ill, in thousandths; fine steps where illness is rare.
  const RARE = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 15, 20, 25, 30, 40, 50, 60, 70, 80, 90];
  const COMMON = [100, 120, 150, 200, 250, 300, 350, 400, 450, 500, 550, 600, 650, 700, 750, 800, 850, 900];
  const PREVALENCES = [...RARE, ...COMMON].map((n) => n / 1000);

  const rates = (model, step) => ({
    sensitivity: model.found[step] / model.ill,
    specificity: 1 - model.alarms[step] / model.healthy,
  });

  // Bayes' rule; NaN where nobody is called ill, or nobody healthy.
  const predictive = ({ sensitivity, specificity }, prevalence) => {
    const ill = { called: prevalence * sensitivity, not: prevalence * (1 - sensitivity) };
    const healthy = { called: (1 - prevalence) * (1 - specificity), not: (1 - prevalence) * specificity };
    return {
      ppv: ill.called / (ill.called + healthy.called),
      npv: healthy.not / (ill.not + healthy.not),
    };
  };

  // Whole people, of 1,000: rows and columns still add up.
  const people = ({ sensitivity, specificity }, prevalence) => {
    const ill = Math.round(1000 * prevalence);
    const found = Math.round(1000 * prevalence * sensitivity);
    const alarms = Math.min(1000 - ill, Math.round(1000 * (1 - prevalence) * (1 - specificity)));
    return { found, missed: ill - found, alarms, cleared: 1000 - ill - alarms };
  };

  const percent = (share, ifNobody = "") => {
    if (Number.isNaN(share)) return ifNobody;
    if (share === 0 || share === 1) return `${100 * share} %`;
    if (share >= 0.9995) return "> 99.9 %";
    if (share < 0.0005) return "< 0.1 %";
    return `${(100 * share).toFixed(1)} %`;
  };

  const oneIn = (share) => {
    if (share > 0.5) return `${Math.round(100 * share)} in 100`;
    const people = 1 / share;
    return `1 in ${people < 9.95 ? Number(people.toFixed(1)) : Math.round(people).toLocaleString("en")}`;
  };

  const SVG = "http://www.w3.org/2000/svg";
  const fill = (node, attributes, children) => {
    Object.entries(attributes).forEach(([name, value]) => node.setAttribute(name, value));
    node.append(...children);
    return node;
  };
  const html = (tag, attributes = {}, ...children) => fill(document.createElement(tag), attributes, children);
  const svg = (tag, attributes = {}, ...children) => fill(document.createElementNS(SVG, tag), attributes, children);

  // One sign for each field of the matrix, told apart by shape as well as by colour.
  const SIGNS = {
    found: (x, y) => `M${x - 3.2} ${y}a3.2 3.2 0 1 0 6.4 0a3.2 3.2 0 1 0 -6.4 0`,
    missed: (x, y) => `M${x - 2.8} ${y - 2.8}l5.6 5.6m0 -5.6l-5.6 5.6`,
    alarms: (x, y) => `M${x} ${y - 3.4}l3.4 6.2h-6.8z`,
    cleared: (x, y) => `M${x - 1.2} ${y}a1.2 1.2 0 1 0 2.4 0a1.2 1.2 0 1 0 -2.4 0`,
  };
  const FIELDS = Object.keys(SIGNS);
  const ACROSS = 40;

  const crowd = () => {
    const paths = FIELDS.map((field) => svg("path", { class: `sign-${field}` }));
    const drawing = svg("svg", { class: "explorer-crowd", viewBox: "0 0 360 225", "aria-hidden": "true" }, ...paths);
    const draw = (counts) => {
      let place = 0;
      FIELDS.forEach((field, row) => {
        let path = "";
        for (const end = place + counts[field]; place < end; place += 1)
          path += SIGNS[field](4.5 + 9 * (place % ACROSS), 4.5 + 9 * Math.floor(place / ACROSS));
        paths[row].setAttribute("d", path);
      });
    };
    return { drawing, draw };
  };

  const matrix = (caption) => {
    const cells = Object.fromEntries(FIELDS.map((field) => [field, html("span", { class: `count-${field}` })]));
    const sums = [html("td"), html("td")];
    const sign = (field) => svg("svg", { viewBox: "0 0 9 9", width: 12, height: 12, "aria-hidden": "true" },
      svg("path", { class: `sign-${field}`, d: SIGNS[field](4.5, 4.5) }));
    const head = (scope, text) => html("th", { scope }, text);
    const line = (name, fields, sum) => html("tr", {}, head("row", name),
      ...fields.map((field) => html("td", {}, sign(field), " ", cells[field])), sum);
    const table = html("table", { class: "explorer-matrix" }, html("caption", {}, caption),
      html("thead", {}, html("tr", {}, html("td"), ...["called ill", "called healthy", "together"].map((t) => head("col", t)))),
      html("tbody", {}, line("ill", ["found", "missed"], sums[0]), line("healthy", ["alarms", "cleared"], sums[1])));
    const draw = (counts) => {
      FIELDS.forEach((field) => { cells[field].textContent = counts[field]; });
      sums[0].textContent = counts.found + counts.missed;
      sums[1].textContent = counts.alarms + counts.cleared;
    };
    return { table, draw };
  };

  const slider = (id, label, last, start) => {
    const input = html("input", { type: "range", id, min: 0, max: last, step: 1, value: start });
    // No <output>: that would be spoken at each movement, and the slider says its value itself.
    const output = html("span", { "aria-hidden": "true" });
    const say = (text) => {
      output.textContent = text;
      input.setAttribute("aria-valuetext", text);
    };
    return { input, say, row: html("p", {}, html("label", { for: id }, label), " ", output, input) };
  };

  const choice = (id, models) => {
    const radios = models.map((model, row) => html("input", { type: "radio", name: id, id: `${id}-${row}`, value: row }));
    radios[0].checked = true;
    const labels = radios.map((radio, row) => html("label", { for: radio.id }, radio, ` ${models[row].name}`));
    const group = html("fieldset", {}, html("legend", {}, "Model"), ...labels);
    return { group, chosen: () => Number(radios.find((radio) => radio.checked).value) };
  };

  const sentence = (name, threshold, prevalence, counts, { ppv, npv }, model, alarms) => {
    const ill = counts.found + counts.missed;
    const said = [`${name}, threshold ${threshold}, ${oneIn(prevalence)} ill: of 1,000 people, ${ill} ${ill === 1 ? "is" : "are"} ill; `
      + `${counts.found} of them called ill, ${counts.missed} missed.`,
    `Of the ${1000 - ill} healthy, ${counts.alarms} are called ill.`];
    said.push(Number.isNaN(ppv) ? "There is no alarm." : `Of the alarms, ${percent(ppv)} are right.`);
    said.push(Number.isNaN(npv) ? "There is no all-clear." : `Of the all-clears, ${percent(npv)} are right.`);
    if (alarms === 0 && !Number.isNaN(ppv))
      said.push(`(No false alarm among ${model.healthy} healthy people in the sample: among more there may be some.)`);
    return said.join(" ");
  };

  const enliven = (figure, number) => {
    const { thresholds, start, prevalence: own, box, models } = JSON.parse(figure.querySelector("script").textContent);
    const prevalences = [...new Set([...PREVALENCES, own])].sort((a, b) => a - b);
    const id = `explorer-${number}`;
    const model = choice(`${id}-model`, models);
    const threshold = slider(`${id}-threshold`, "Threshold of risk", thresholds.length - 1, start);
    const prevalence = slider(`${id}-prevalence`, "Prevalence", prevalences.length - 1, prevalences.indexOf(own));
    const thousand = matrix("Of 1,000 people (rounded)");
    const sample = matrix(`In the sample (${models[0].ill + models[0].healthy})`);
    const signs = crowd();
    const values = ["sensitivity", "specificity", "PPV", "NPV"].map((name) => [name, html("dd", { class: `value-${name}` })]);
    const words = html("p", { class: "explorer-words", role: "status" });
    const point = svg("circle", { class: "explorer-point", r: 7 });
    figure.querySelector(".explorer-roc").append(point);

    const draw = () => {
      const chosen = models[model.chosen()];
      const step = Number(threshold.input.value);
      const share = prevalences[Number(prevalence.input.value)];
      const now = rates(chosen, step);
      const { ppv, npv } = predictive(now, share);
      const counts = people(now, share);
      threshold.say(String(thresholds[step]));
      prevalence.say(`${percent(share)}, ${oneIn(share)}${share === own ? ", as in the sample" : ""}`);
      thousand.draw(counts);
      signs.draw(counts);
      sample.draw({ found: chosen.found[step], missed: chosen.ill - chosen.found[step],
        alarms: chosen.alarms[step], cleared: chosen.healthy - chosen.alarms[step] });
      const shown = [percent(now.sensitivity), percent(now.specificity), percent(ppv, "no alarm"), percent(npv, "no all-clear")];
      values.forEach(([, node], row) => { node.textContent = shown[row]; });
      point.setAttribute("cx", box.left + box.side * (1 - now.specificity));
      point.setAttribute("cy", box.top + box.side * (1 - now.sensitivity));
      return () => sentence(chosen.name, thresholds[step], share, counts, { ppv, npv }, chosen, chosen.alarms[step]);
    };
    // Numbers follow each movement; the sentence is spoken, and waits until the slider rests.
    const controls = html("div", { class: "explorer-controls" }, ...(models.length > 1 ? [model.group] : []), threshold.row, prevalence.row,
      html("dl", {}, ...values.map(([name, node]) => html("div", {}, html("dt", {}, name), node))));
    controls.addEventListener("input", draw);
    controls.addEventListener("change", () => { words.textContent = draw()(); });
    words.textContent = draw()();
    figure.querySelector(".explorer-roc").after(controls,
      html("div", { class: "explorer-counts" }, thousand.table, signs.drawing, sample.table), words);
    figure.classList.add("live");
  };

  window.medxferExplorer = { PREVALENCES, rates, predictive, people, percent, oneIn };
  document.querySelectorAll("figure.explorer").forEach(enliven);
})();
