// A page of ink whose words can be clicked, and the drawings that could take a word's place. It draws what
// it is given, and knows nothing of handwriting. Loaded by view.py as an anywidget. Python says, and only
// Python sets these:
//   page    {id, box, words: [{text, path, box}], lines: numbers of the words that begin one, but for 0};
//           lengths in millimetres; a box is [x, y, width, height]
//   offers  {id, words: [{index, text, candidates: [{drawing, key, says, right, taken}]}]}; a drawing is as
//           `page`
//   state   {page, offers: the ids of those that it belongs to, marked: numbers of the words that are marked,
//           says: number of a word that reads wrong: what it reads as, drawing: numbers of the words that are
//           having candidates drawn, heard: how many messages Python has taken}
// The messages to Python, each of which is answered by a state:
//   {mark: number of a word, on, text}, {look: number of a word, text}, {take: [number of a word, number of
//   a candidate], key}. The text and the key say what was there when somebody clicked.

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
  return svg("svg", { ...frame(box), "aria-hidden": true }, ...words.map(w => svg("path", { d: w.path })));
}

function wordButton(word, index) {
  const [x, y, width, height] = word.box;
  return svg("g", { class: "cursive-word", role: "button", tabindex: -1, "data-index": index },
    svg("title", {}),
    svg("rect", { x, y, width, height, rx: 1.2 }),
    svg("path", { d: word.path }),
    svg("text", { x: x + 0.3, y: y - 0.5 }, String(index)));
}

function reading({ says, right }) {
  if (says === null) return "";
  return right ? "reads right" : `reads '${says}'`;
}

function candidateButton(candidate, number, count) {
  const reads = reading(candidate);
  const name = [`drawing ${number + 1} of ${count}`, reads, candidate.taken ? "on the page" : ""];
  return html("button", {
    type: "button",
    title: reads,
    "data-number": number,
    "aria-pressed": candidate.taken,
    "aria-label": name.filter(part => part).join(", "),
  }, picture(candidate.drawing), html("small", { class: candidate.right ? "" : "cursive-wrong" }, reads));
}

class PageView {
  constructor(model, el) {
    this.model = model;
    this.pageDrawn = null; // the id of the page that is shown
    this.offersDrawn = ""; // what the candidates that are shown were made from
    this.current = 0; // the word that the Tab key comes to; arrows go from word to word
    this.open = null; // the word beside which its candidates stand
    this.openText = ""; // what that word spells
    this.follows = false; // whether to scroll to the candidates once they are there
    this.pending = []; // [number, whether it is marked] of clicks that Python has not heard
    this.heard = model.get("state").heard;
    const id = `cursive-${Math.random().toString(36).slice(2)}`; // there may be other panels on the page
    this.paper = html("div", { class: "cursive-paper" });
    this.offer = html("div", { class: "cursive-offer", id: `${id}-offer`, role: "group", hidden: "" });
    this.news = html("div", { class: "cursive-unseen", role: "status" });
    this.help = html("div", { class: "cursive-unseen", id: `${id}-help` },
      "Arrow keys go from word to word. Enter marks a word and has other drawings of it made; ",
      "they stand behind the word in the order of the Tab key. Escape closes them.");
    this.root = html("div", { class: "cursive-desk", dir: "ltr" }, this.paper, this.news, this.help);
    this.paper.addEventListener("click", event => this.clicked(event));
    this.paper.addEventListener("keydown", event => this.keyPressed(event));
    this.paper.addEventListener("focusin", event => this.reached(event));
    // Not at once: what is observed changes its size by it.
    this.resized = new ResizeObserver(() => requestAnimationFrame(() => this.place()));
    this.resized.observe(this.paper);
    el.append(this.root);
  }

  words() { return [...this.paper.querySelectorAll(".cursive-word")]; }
  word(index) { return this.paper.querySelector(`[data-index="${index}"]`); }
  marked() {
    const marked = new Set(this.model.get("state").marked);
    for (const [index, on] of this.pending) on ? marked.add(index) : marked.delete(index);
    return marked;
  }
  offered(index) { return this.model.get("offers").words.find(offer => offer.index === index); }
  textOf(index) { return this.model.get("page").words[index].text; }

  // One redraw for everything that arrived; nothing while parts of it are still on their way.
  draw() {
    const [page, offers, state] = ["page", "offers", "state"].map(name => this.model.get(name));
    if (state.page !== page.id || state.offers !== offers.id) return;
    this.pending.splice(0, state.heard - this.heard);
    this.heard = state.heard;
    const focus = this.focus();
    if (page.id !== this.pageDrawn) this.drawPage(page);
    this.drawMarks(page, state);
    this.drawOffer(state);
    this.place();
    this.refocus(focus);
    if (this.follows && !this.offer.hidden) {
      this.offer.scrollIntoView({ block: "nearest" });
      this.follows = this.offer.getAttribute("aria-busy") === "true";
    }
  }
  drawPage({ id, box, words }) {
    this.pageDrawn = id;
    this.offersDrawn = "";
    this.paper.replaceChildren();
    this.paper.hidden = !words.length;
    if (this.open !== null && words[this.open]?.text !== this.openText) this.open = null;
    this.current = Math.max(0, Math.min(this.current, words.length - 1));
    if (!words.length) return;
    const group = { role: "group", "aria-label": "the page", "aria-describedby": this.help.id };
    this.paper.append(svg("svg", { ...frame(box), ...group }, ...words.map(wordButton)), this.offer);
  }
  drawMarks({ words }, { says }) {
    const marked = this.marked();
    for (const word of this.words()) {
      const i = Number(word.dataset.index);
      const name = `${i} ${words[i].text}` + (i in says ? `, reads '${says[i]}'` : "");
      word.setAttribute("tabindex", i === this.current ? 0 : -1);
      word.setAttribute("aria-pressed", marked.has(i));
      word.setAttribute("aria-label", name);
      word.querySelector("title").textContent = name;
    }
  }
  drawOffer({ drawing }) {
    const offer = this.open === null ? undefined : this.offered(this.open);
    const asked = drawing.includes(this.open) || this.pending.some(([i, on]) => on && i === this.open);
    const waits = !offer && asked;
    const made = JSON.stringify([this.open, offer, waits]);
    if (made === this.offersDrawn) return;
    this.offersDrawn = made;
    this.offer.hidden = !offer && !waits;
    this.offer.replaceChildren();
    for (const word of this.words()) word.removeAttribute("aria-expanded");
    if (this.offer.hidden) {
      this.open = null; // what was on offer is gone
      return;
    }
    const name = `${this.open} ${this.textOf(this.open)}`;
    const close = html("button", { type: "button", class: "cursive-close", "aria-label": "close" }, "×");
    const candidates = offer?.candidates ?? [];
    const buttons = candidates.map((candidate, n) => candidateButton(candidate, n, candidates.length));
    const said = waits ? [html("span", { class: "cursive-waits" }, "Other drawings are being made …")] : [];
    this.offer.append(html("bdi", { class: "cursive-name" }, name), ...said, ...buttons, close);
    this.offer.setAttribute("aria-label", `drawings of word ${name}`);
    this.offer.setAttribute("aria-busy", waits);
    this.word(this.open).setAttribute("aria-expanded", true);
    this.word(this.open).setAttribute("aria-controls", this.offer.id);
    this.news.textContent = waits ? "" : `${candidates.length} drawings of word ${name}`;
  }
  // The candidates stand below the line of their word; the lines below that make room.
  place() {
    const { box, words, lines } = this.model.get("page");
    const drawing = this.paper.querySelector("svg");
    if (!drawing || this.pageDrawn !== this.model.get("page").id) return;
    const [left, top, width, height] = box;
    const all = this.words();
    const below = this.offer.hidden ? words.length : lines.find(start => start > this.open) ?? words.length;
    let room = 0;
    if (!this.offer.hidden) {
      const scale = drawing.getBoundingClientRect().width / width; // pixels a millimetre
      const from = lines.findLast(start => start <= this.open) ?? 0;
      const ends = words.slice(from, below).map(({ box: [, y, , high] }) => y + high);
      const tops = words.slice(below).map(({ box: [, y] }) => y - 3.2); // with their numbers
      const end = Math.max(...ends) + 1;
      const next = tops.length ? tops.reduce((a, b) => Math.min(a, b)) : top + height;
      room = Math.max(0, end + this.offer.offsetHeight / scale + 1.5 - next);
      const most = this.paper.clientWidth - this.offer.offsetWidth - 4;
      const begins = (words[this.open].box[0] - left) * scale + 4;
      this.offer.style.left = `${Math.max(4, Math.min(begins, most))}px`;
      this.offer.style.top = `${(end - top) * scale + 4}px`;
    }
    drawing.setAttribute("viewBox", [left, top, width, height + room].join(" "));
    for (const [i, word] of all.entries()) {
      if (i >= below && room) word.setAttribute("transform", `translate(0 ${room})`);
      else word.removeAttribute("transform");
    }
  }

  // What has the focus: redrawing must not take it away.
  focus() {
    const focused = this.paper.querySelector(":focus");
    if (!focused) return null;
    const { index, number } = focused.dataset;
    return { word: index, number, inside: this.offer.contains(focused) };
  }
  refocus(before) {
    if (!before || this.paper.querySelector(":focus")) return;
    const button = before.inside && !this.offer.hidden
      ? this.offer.querySelector(`[data-number="${before.number}"]`) ?? this.offer.querySelector("button")
      : null;
    (button ?? this.word(before.word ?? this.open ?? this.current) ?? this.word(this.current))?.focus();
  }

  // The word that is clicked opens, marked; the word that is open is marked or unmarked.
  press(index) {
    const text = this.textOf(index);
    const marked = this.marked().has(index);
    const opens = this.open !== index;
    this.current = index;
    this.openText = text;
    this.follows = true;
    if (opens && (marked || this.offered(index))) {
      this.open = index;
      if (!this.offered(index)) this.send({ look: index, text }, index);
    } else {
      this.open = marked ? null : index;
      this.pending.push([index, !marked]);
      this.model.send({ mark: index, on: !marked, text });
    }
    this.draw();
  }
  send(message, index = null) {
    this.pending.push([index, index !== null]); // answered too
    this.model.send(message);
  }
  close() {
    this.open = null;
    this.draw();
  }
  clicked(event) {
    const word = event.target.closest(".cursive-word");
    const candidate = event.target.closest("[data-number]");
    if (word) return this.press(Number(word.dataset.index));
    if (candidate) {
      const number = Number(candidate.dataset.number);
      const key = this.offered(this.open).candidates[number].key;
      return this.send({ take: [this.open, number], key });
    }
    if (event.target.closest(".cursive-offer") && !event.target.closest(".cursive-close")) return;
    const back = this.offer.contains(document.activeElement) ? this.open : null;
    this.close();
    if (back !== null) this.word(back).focus();
  }
  keyPressed(event) {
    const word = event.target.closest(".cursive-word");
    const modified = event.ctrlKey || event.metaKey || event.altKey;
    const to = word && !modified ? this.neighbour(Number(word.dataset.index), event.key) : null;
    if (event.key === "Escape" && this.open !== null) {
      const open = this.open;
      this.close();
      this.word(open).focus();
    } else if (word && (event.key === "Enter" || event.key === " ")) {
      this.press(Number(word.dataset.index));
    } else if (to !== null) {
      this.word(to)?.focus();
    } else {
      // A front end takes keys for itself: what a button is pressed with stays here.
      if (event.key === "Enter" || event.key === " ") event.stopPropagation();
      return;
    }
    event.preventDefault();
    event.stopPropagation();
  }
  // The number of the word that a key leads to; null for other keys.
  neighbour(index, key) {
    const { words } = this.model.get("page");
    const step = { ArrowLeft: -1, ArrowRight: 1, Home: -words.length, End: words.length }[key];
    if (step) return Math.max(0, Math.min(words.length - 1, index + step));
    const down = { ArrowUp: -1, ArrowDown: 1 }[key];
    if (!down) return null;
    const middle = ({ box: [x, y, width, height] }) => [x + width / 2, y + height / 2];
    const [x, y] = middle(words[index]);
    let nearest = index;
    let least = Infinity;
    words.forEach((word, i) => {
      const [there, below] = middle(word);
      const far = down * (below - y);
      // Words of one line differ in height: what is less than 5 mm away stands on the same line.
      if (far > 5 && 3 * far + Math.abs(there - x) < least) {
        nearest = i;
        least = 3 * far + Math.abs(there - x);
      }
    });
    return nearest;
  }
  reached(event) {
    const word = event.target.closest(".cursive-word");
    if (!word) return;
    this.word(this.current)?.setAttribute("tabindex", -1);
    this.current = Number(word.dataset.index);
    word.setAttribute("tabindex", 0);
  }
}

// Sliders of ipywidgets have a label beside them, but no name of their own.
function nameSliders(panel) {
  for (const handle of panel.querySelectorAll(".noUi-handle, .ui-slider-handle")) {
    const row = handle.closest(".widget-hslider, .widget-slider, .jupyter-widget-slider");
    const name = row?.querySelector("label, .widget-label, .jupyter-widget-label")?.textContent;
    const readout = row?.querySelector(".widget-readout, .jupyter-widget-readout");
    if (!name) continue;
    handle.setAttribute("aria-label", name);
    if (!readout) continue;
    readout.setAttribute("role", "textbox");
    readout.setAttribute("aria-label", `${name}, as a number`);
    if (handle.matches(".noUi-handle")) continue;
    handle.setAttribute("role", "slider");
    handle.setAttribute("aria-valuenow", readout.textContent);
  }
}
// Watch the panel that the page stands in, as soon as it stands there.
function watchSliders(el) {
  const watcher = new MutationObserver(() => nameSliders(el.closest(".cursive-panel")));
  const begin = () => {
    const panel = el.closest(".cursive-panel");
    if (!panel) return;
    nameSliders(panel);
    watcher.observe(panel, { childList: true, subtree: true, characterData: true });
    arrival.disconnect();
  };
  const arrival = new ResizeObserver(begin); // tells of a first size when there is one
  arrival.observe(el);
  return () => {
    watcher.disconnect();
    arrival.disconnect();
  };
}

function render({ model, el }) {
  const view = new PageView(model, el);
  const leaveSliders = watchSliders(el);
  const draw = () => view.draw();
  const names = ["page", "offers", "state"];
  for (const name of names) model.on(`change:${name}`, draw);
  draw();
  return () => {
    view.resized.disconnect();
    leaveSliders();
    for (const name of names) model.off(`change:${name}`, draw);
  };
}

export default { render };
