// collect.html in a frame. Loaded by collect_view.py as an anywidget; Python sets
//   local    the address of the server on the machine that the kernel runs on
//   proxied  the address behind that of Jupyter, where a proxy leads from there to it; else empty
//   session  what tells one file's page from another's
//   height   of the frame, CSS pixels
// The frame shows the page of a server that the browser reaches: it goes on saving while the kernel is busy.
// The page says that it is there; where it does not, it comes through the kernel, and so does what it asks
// for:
//   {id, path, method, body} to Python, which answers {id, code, kind, text}

const READY = "cursive: ready"; // what the page says
const PATIENCE = 6000; // milliseconds until it should have said so

function jupyterAddress() {
  try {
    return JSON.parse(document.getElementById("jupyter-config-data").textContent).baseUrl;
  } catch {
    return document.body.dataset.baseUrl ?? null;
  }
}

// Where the page may be found, the best first.
function addresses(model) {
  const found = [];
  if (model.get("proxied") && jupyterAddress()) found.push(jupyterAddress() + model.get("proxied"));
  // On another machine than the browser's that name means something else.
  if (["localhost", "127.0.0.1", "[::1]"].includes(location.hostname)) found.push(model.get("local"));
  return found;
}

let views = 0;

function render({ model, el }) {
  const view = `${Date.now()}-${++views}`;
  const waiting = new Map(); // id of a request: what settles it
  let count = 0;
  let timer;
  const said = document.createElement("p");
  said.textContent = "The page is being opened …";
  const frame = document.createElement("iframe");
  frame.title = "Write words of your own";
  frame.style = `display: none; width: 100%; height: ${model.get("height")}px; border: 0`;
  el.append(said, frame);

  function show() {
    clearTimeout(timer);
    said.remove();
    frame.style.display = "block";
  }
  // As `fetch` does, but through the kernel; a kernel that is busy answers when it is done.
  frame.cursiveAsk = (path, { method = "GET", body = "", signal } = {}) => new Promise((resolve, reject) => {
    const id = `${view}-${++count}`;
    waiting.set(id, resolve);
    signal?.addEventListener("abort", () => {
      waiting.delete(id);
      reject(signal.reason);
    });
    model.send({ id, path, method, body });
  });
  function answered({ id, code, kind, text }) {
    waiting.get(id)?.(new Response(text, { status: code, headers: { "Content-Type": kind } }));
    waiting.delete(id);
  }
  async function throughKernel() {
    const page = await (await frame.cursiveAsk("")).text();
    const session = JSON.stringify(model.get("session")).replaceAll("<", "\\u003c");
    const script = `window.cursiveAsk = (...request) => frameElement.cursiveAsk(...request);
      window.cursiveSession = ${session};`;
    frame.removeAttribute("src");
    frame.srcdoc = page.replace(/<head>|(?=<meta)/i, head => `${head}<script>${script}</script>`);
    show();
  }
  const places = addresses(model);
  function tryNext() {
    const place = places.shift();
    if (!place) return throughKernel();
    frame.src = place;
    timer = setTimeout(tryNext, PATIENCE);
  }
  function heard(event) {
    if (event.source === frame.contentWindow && event.data === READY) show();
  }
  window.addEventListener("message", heard);
  model.on("msg:custom", answered);
  tryNext();
  return () => {
    clearTimeout(timer);
    window.removeEventListener("message", heard);
    model.off("msg:custom", answered);
  };
}

export default { render };
