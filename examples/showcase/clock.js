// The clock: an event a second from the server; the browser connects again by itself.
const face = panel.querySelector("#clock");
const ticks = panel.querySelector("#clock-ticks");
let count = 0;
new EventSource("clock").addEventListener("tick", (event) => {
  face.textContent = event.data;
  count += 1;
  ticks.textContent = count;
});
