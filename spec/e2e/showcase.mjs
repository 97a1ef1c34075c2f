// showcase.mjs - drives the showcase in a real browser, as two people would.
//
//   node showcase.mjs URL FILE-TO-UPLOAD SHA-256 SCREENSHOT.png
//
// Ends with 0 where everything is as it should be; else with what is not, on stderr.
import assert from "node:assert/strict";
import { chromium } from "../npm/node_modules/playwright-core/index.mjs";

const [url, file, sha256, screenshot] = process.argv.slice(2);

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM || "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync"],
});

const problems = [];

async function open(options) {
  const page = await browser.newPage(options);
  page.setDefaultTimeout(60000);
  page.on("console", (message) => {
    if (message.type() === "error") problems.push(message.text());
  });
  page.on("pageerror", (error) => problems.push(error.message));
  await page.goto(url);
  return page;
}

const ann = await open({ viewport: { width: 1200, height: 800 }, colorScheme: "light" });
const bob = await open({ viewport: { width: 390, height: 844 }, colorScheme: "dark" });

// Chat: both are in the room, and what one types the other reads.
for (const page of [ann, bob]) {
  await page.waitForFunction(() => document.querySelector("#chat-count").textContent === "2");
}
await ann.focus("#chat-text");
await ann.keyboard.type("hello <b>bob</b>");
await ann.keyboard.press("Enter");
await bob.getByText("hello <b>bob</b>").waitFor();
await bob.fill("#chat-text", "hello ann");
await bob.keyboard.press("Enter");
await ann.getByText("hello ann").waitFor();

// MQTT: what one page publishes the other one gets, by way of the broker.
for (const page of [ann, bob]) {
  await page.getByText("connected to mqtt://").waitFor();
  await page.click("#mqtt-subscribe button");
  await page.getByText("subscribed to hvlua/#").waitFor();
}
await ann.fill("#mqtt-payload", "by way of the broker");
await ann.keyboard.press("Enter");
await bob.getByText("by way of the broker").waitFor();

// The clock ticks.
await ann.waitForFunction(() => Number(document.querySelector("#clock-ticks").textContent) >= 2);

// An upload arrives whole, with its progress shown.
await ann.setInputFiles("#upload-file", file);
await ann.click("#upload-form button");
await ann.getByText(sha256).waitFor();
assert.equal(await ann.$eval("#upload-progress", (element) => element.value), 100);

// The charts move, and the rate counts what is asked.
const before = await ann.$eval('[data-chart="rate"] .line', (line) => line.getAttribute("d"));
await ann.waitForFunction(async (path) => {
  await Promise.all([1, 2, 3].map(() => fetch("ping")));
  const tile = document.querySelector('[data-chart="rate"]');
  return tile.querySelector(".line").getAttribute("d") !== path &&
    Number(tile.querySelector("[data-value]").textContent) > 0;
}, before, { polling: 200 });
for (const name of ["lag", "connections", "memory"]) {
  assert.match(await ann.$eval(`[data-chart="${name}"] svg`, (svg) => svg.getAttribute("aria-label")),
    /: now [\d.]/);
}
assert.equal(await ann.getAttribute("#state", "data-state"), "live");

// Light and dark, by the system and by the button, which a keyboard reaches.
const colour = (page) => page.$eval("body", (body) => getComputedStyle(body).backgroundColor);
const light = await colour(ann);
assert.notEqual(light, await colour(bob));
await ann.focus("#theme");
await ann.keyboard.press("Enter");
assert.equal(await colour(ann), await colour(bob));
await ann.keyboard.press("Enter");
assert.equal(await colour(ann), light);

// A phone shows all of it without scrolling sideways, and nothing sticks out of a panel.
assert.ok(await bob.evaluate(() => document.documentElement.scrollWidth <= innerWidth));
for (const page of [ann, bob]) {
  assert.deepEqual(await page.$$eval(".panel", (panels) => panels
    .filter((panel) => panel.scrollWidth > panel.clientWidth)
    .map((panel) => panel.id || panel.dataset.chart)), []);
}

// Somebody who leaves is missed.
await bob.close();
await ann.waitForFunction(() => document.querySelector("#chat-count").textContent === "1");

assert.deepEqual(problems, []);
await ann.screenshot({ path: screenshot });
await browser.close();
