// A page of ink whose words can be clicked, and the drawings that could take a word's place. It draws what
// it is given, and knows nothing of handwriting. Loaded by view.py as an anywidget; shared with Python are
//   page    {box, words: [{text, path, box}]}, lengths in millimetres; a box is [x, y, width, height]
//   marked  numbers of the words that are marked
//   says    number of a word that reads wrong: what it reads as
//   offers  [{index, text, candidates: [{drawing, says, right, taken}]}]; a drawing is as `page`
// and the message {take: [number of a word, number of a candidate]} to Python.

function make(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}
function svg(tag, attributes, ...children) {
  return make(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);
}
function html(tag, attributes, ...children) {
  return make(document.createElement(tag), attributes, children);
}

// The attributes of a drawing that is as wide as there is room, up to four pixels a millimetre.
function frame(box) {
  return { viewBox: box.join(" "), style: `max-width:${4 * box[2]}px` };
}
function picture({ box, words }) {
  return svg("svg", frame(box), ...words.map(w => svg("path", { d: w.path })));
}

// A word of the page as a button: it can be clicked, or reached with Tab and pressed with Space or Enter.
function wordButton(word, index, toggle) {
  const [x, y, width, height] = word.box;
  const button = svg("g", { class: "cursive-word", role: "button", tabindex: 0, "data-index": index },
    svg("title", {}),
    svg("rect", { x, y, width, height, rx: 1.2 }),
    svg("path", { d: word.path }),
    svg("text", { x: x + 0.3, y: y - 0.5 }, String(index)));
  button.addEventListener("click", () => toggle(index));
  button.addEventListener("keydown", event => {
    if (event.key !== "Enter" && event.key !== " ") return;
    event.preventDefault();
    event.stopPropagation();
    toggle(index);
  });
  return button;
}

function reading({ says, right }) {
  if (says === null) return "";
  return right ? "reads right" : `reads '${says}'`;
}

// The drawings on offer for a word.
function offerRow({ index, text, candidates }, take) {
  const name = html("span", { class: "cursive-name" }, `${index} ${text}`);
  const label = `drawings of word ${index}`;
  const row = html("div", { class: "cursive-offer", role: "group", "aria-label": label }, name);
  candidates.forEach((candidate, n) => {
    const reads = reading(candidate);
    const button = html("button", {
      type: "button",
      title: reads,
      "aria-pressed": candidate.taken,
      "aria-label": `drawing ${n + 1} of ${candidates.length}, ${reads}`,
    }, picture(candidate.drawing), html("small", { class: candidate.right ? "" : "cursive-wrong" }, reads));
    button.addEventListener("click", () => take(index, n));
    row.append(button);
  });
  return row;
}

function render({ model, el }) {
  const paper = html("div", { class: "cursive-paper" });
  const offers = html("div", { class: "cursive-offers" });
  el.append(html("div", { class: "cursive-desk" }, paper, offers));

  function toggle(index) {
    const marked = new Set(model.get("marked"));
    if (!marked.delete(index)) marked.add(index);
    model.set("marked", [...marked].sort((a, b) => a - b));
    model.save_changes();
  }
  function take(index, number) {
    model.send({ take: [index, number] });
  }

  function drawPage() {
    const { box, words } = model.get("page");
    const focused = paper.querySelector(":focus")?.dataset.index;
    paper.replaceChildren();
    paper.hidden = !words.length;
    if (!words.length) return;
    const buttons = words.map((word, i) => wordButton(word, i, toggle));
    paper.append(svg("svg", { ...frame(box), role: "group", "aria-label": "the page" }, ...buttons));
    drawMarks();
    if (focused !== undefined) paper.querySelector(`[data-index="${focused}"]`)?.focus();
  }
  function drawMarks() {
    const marked = new Set(model.get("marked"));
    const says = model.get("says");
    const { words } = model.get("page");
    for (const word of paper.querySelectorAll(".cursive-word")) {
      const i = Number(word.dataset.index);
      const name = `${i} ${words[i].text}` + (i in says ? `, reads '${says[i]}'` : "");
      word.setAttribute("aria-pressed", marked.has(i));
      word.setAttribute("aria-label", name);
      word.querySelector("title").textContent = name;
    }
  }
  function drawOffers() {
    offers.replaceChildren(...model.get("offers").map(offer => offerRow(offer, take)));
  }

  const drawers = { page: drawPage, marked: drawMarks, says: drawMarks, offers: drawOffers };
  for (const [name, draw] of Object.entries(drawers)) model.on(`change:${name}`, draw);
  drawPage();
  drawOffers();
  return () => {
    for (const [name, draw] of Object.entries(drawers)) model.off(`change:${name}`, draw);
  };
}

export default { render };
