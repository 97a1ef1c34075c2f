// The chat: one WebSocket; the server tells everybody what anybody says.
const log = panel.querySelector("#chat-log");
const form = panel.querySelector("#chat-form");
const text = panel.querySelector("#chat-text");
const count = panel.querySelector("#chat-count");
const url = new URL("chat", location.href);
url.protocol = url.protocol.replace("http", "ws");
let socket = null;
let delay = 500;
let isLost = false;

function add(who, words, kind) {
  const isAtEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 40;
  const line = document.createElement("li");
  if (kind) line.className = kind;
  if (who) {
    const name = document.createElement("span");
    name.className = "who";
    name.textContent = who;
    line.append(name);
  }
  line.append(words);
  log.append(line);
  while (log.children.length > 200) log.firstChild.remove();
  if (isAtEnd) log.scrollTop = log.scrollHeight;
}

function connect() {
  socket = new WebSocket(url);
  socket.addEventListener("open", () => {
    delay = 500;
    isLost = false;
  });
  socket.addEventListener("message", (event) => {
    const message = JSON.parse(event.data);
    if (message.count) count.textContent = message.count;
    if (message.text) add(message.from, message.text, message.from ? "" : "note");
  });
  socket.addEventListener("close", () => {
    if (!isLost) add(null, "The connection is gone; trying again.", "note");
    isLost = true;
    setTimeout(connect, delay);
    delay = Math.min(delay * 2, 10000);
  });
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  if (socket.readyState !== WebSocket.OPEN) return;
  socket.send(text.value);
  form.reset();
  text.focus();
});

connect();
