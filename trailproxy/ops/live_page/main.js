// Main: the parts of the page, and how often they are drawn.

const DRAW_MS = 250;

const now = new Now();
const timeline = new Timeline(() => streams.leave());
const streams = new Streams((row) => timeline.show(row));
const tap = new Tap(() => streams.filter("tapped"));

let held = false;
let due = false;

/** Draw soon, and not more often than anybody could see; not while it is held. */
function draw() {
  if (due || held) return;
  due = true;
  setTimeout(() => {
    due = false;
    if (held) return;
    now.draw();
    streams.draw();
  }, DRAW_MS);
}

function state(text, good) {
  const link = byId("link");
  put(link, text);
  link.className = `chip ${good ? "good" : "bad"}`;
}

function told(name, data) {
  if (name === "begin") {
    now.begin();
    streams.begin();
    state("live", true);
  } else if (name === "now") {
    now.add(data);
    streams.behind = data.at - Date.now() / 1000;
  } else if (name === "rows") {
    streams.add(data);
    show(byId("lost"), data.lost > 0);
    put(byId("lost"), `${many(data.lost, "sample")} lost: this browser is slow`);
    const row = data.rows.find((each) => each.key === streams.key);
    if (row && !held) timeline.renew(row);
  } else if (name === "tap") {
    tap.draw(data);
  }
  draw();
}

byId("hold").addEventListener("click", () => {
  held = !held;
  byId("hold").setAttribute("aria-pressed", String(held));
  put(byId("hold"), held ? "Held: go on" : "Hold");
  draw();
});

new Feed(told, state).start();
streams.draw();
