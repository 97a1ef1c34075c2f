// MQTT: the server is the broker's client, one for each page; a WebSocket carries what is asked.
const state = panel.querySelector("#mqtt-state");
const log = panel.querySelector("#mqtt-log");
const field = (name) => panel.querySelector(`#mqtt-${name}`).value;
const url = new URL("mqtt", location.href);
url.protocol = url.protocol.replace("http", "ws");
let socket = null;

function add(words, who) {
  const line = document.createElement("li");
  if (who) {
    const name = document.createElement("span");
    name.className = "who";
    name.textContent = who;
    line.append(name);
  } else {
    line.className = "note";
  }
  line.append(words);
  log.append(line);
  while (log.children.length > 200) log.firstChild.remove();
  log.scrollTop = log.scrollHeight;
}

function ask(request) {
  if (socket.readyState === WebSocket.OPEN) socket.send(JSON.stringify(request));
}

function connect() {
  socket = new WebSocket(url);
  socket.addEventListener("message", (event) => {
    const message = JSON.parse(event.data);
    if (message.state) state.textContent = message.state;
    if (message.note) add(message.note);
    if (message.topic) add(message.payload, message.topic);
  });
  socket.addEventListener("close", () => {
    state.textContent = "the connection is gone; trying again";
    setTimeout(connect, 3000);
  });
}

panel.querySelector("#mqtt-subscribe").addEventListener("submit", (event) => {
  event.preventDefault();
  ask({ op: "subscribe", filter: field("filter") });
});

panel.querySelector("#mqtt-publish").addEventListener("submit", (event) => {
  event.preventDefault();
  ask({ op: "publish", topic: field("topic"), payload: field("payload") });
});

connect();
