// Now: numbers, and small charts of their last minutes. Counters come as they stand; rates are
// the difference of two samples, so a sample that was lost costs nothing but detail.

const KEPT = 120; // samples, one a second
const LEAST = 30; // that a chart has room for

class Series {
  constructor() {
    this.values = [];
  }

  add(value) {
    this.values.push(value);
    if (this.values.length > KEPT) this.values.shift();
  }

  get last() {
    return this.values.at(-1);
  }
}

/** A chart of one or two series; what it shows is said in words as well. */
function chart(name, format, ...series) {
  const [first] = series;
  const known = series.flatMap((each) => each.values).filter((value) => value !== null);
  const top = Math.max(...known, 0) || 1;
  const span = Math.max(first.values.length, LEAST) - 1;
  const drawn = svg("svg", { class: "chart", viewBox: `0 0 ${span} 40`, preserveAspectRatio: "none", role: "img" });
  const at = (each, place) => `${span + 1 - each.values.length + place},${40 - (38 * (each.values[place] ?? 0)) / top}`;
  series.forEach((each, place) => {
    const points = each.values.map((_, sample) => at(each, sample)).join(" ");
    if (place === 0 && each.values.length > 1) {
      const from = span + 1 - each.values.length;
      drawn.append(svg("polygon", { class: "area", points: `${from},40 ${points} ${span},40` }));
    }
    drawn.append(svg("polyline", { class: place ? "line other" : "line", points }));
  });
  const peak = known.length ? format(Math.max(...known)) : "nothing yet";
  drawn.setAttribute("aria-label", `${name}, the last ${many(first.values.length, "second")}: at most ${peak}`);
  return drawn;
}

/** The duration below which a part of the requests lies, in milliseconds, from bucket counts. */
function quantile(part, bounds, counts) {
  const total = counts.reduce((sum, count) => sum + count, 0);
  if (!total) return null;
  let left = part * total;
  for (let place = 0; place < counts.length; place += 1) {
    if (left <= counts[place]) {
      const low = place ? bounds[place - 1] : 0;
      const high = bounds[place] ?? low;
      return 1000 * (low + (high - low) * (counts[place] ? left / counts[place] : 0));
    }
    left -= counts[place];
  }
  return 1000 * bounds.at(-1);
}

class Now {
  constructor() {
    this.samples = []; // of the last minute
    this.rate = new Series();
    this.p50 = new Series();
    this.p99 = new Series();
    this.active = new Series();
    this.upstream = new Series();
    this.drops = new Series();
    this.resets = new Series();
  }

  /** Begin anew: what was between this connection and the last is not known. */
  begin() {
    this.samples = [];
  }

  add(sample) {
    const before = this.samples.at(-1);
    this.samples.push(sample);
    if (this.samples.length > 61) this.samples.shift();
    this.active.add(sample.sides.downstream.streams);
    this.upstream.add(sample.sides.upstream.streams);
    if (!before || sample.requests < before.requests) return;
    const span = Math.max(sample.at - before.at, 0.001);
    const counts = sample.latency.counts.map((count, place) => count - before.latency.counts[place]);
    this.rate.add((sample.requests - before.requests) / span);
    this.p50.add(quantile(0.5, sample.latency.bounds, counts));
    this.p99.add(quantile(0.99, sample.latency.bounds, counts));
    this.drops.add((sample.dropped - before.dropped) / span);
    this.resets.add((total(sample.resets) - total(before.resets)) / span);
  }

  draw() {
    const sample = this.samples.at(-1);
    if (!sample) return;
    put(byId("version"), sample.version);
    const ready = byId("ready");
    put(ready, sample.not_ready || "takes requests");
    ready.className = `chip ${sample.not_ready ? "bad" : "good"}`;
    this.drawTiles(sample);
    this.drawDrops(sample);
    drawTrailers(sample);
    drawUpstreams(sample);
    drawSettings(sample);
  }

  drawTiles(sample) {
    const persecond = (value) => `${short.format(value ?? 0)} a second`;
    const { downstream, upstream } = sample.sides;
    byId("tiles").replaceChildren(
      tile("Requests", short.format(this.rate.last ?? 0), "/s", chart("Requests a second", persecond, this.rate),
        `${short.format(sample.requests)} since the start, ${many(sample.active, "in flight", "in flight")}`),
      tile("Latency", millis(this.p50.last), "p50", chart("Latency, 99th and 50th percentile", millis, this.p99, this.p50),
        `99th percentile ${millis(this.p99.last)}`),
      tile("Streams active", short.format(downstream.streams), "", chart("Streams active", short.format, this.active, this.upstream),
        `${upstream.streams} to upstreams; ${many(downstream.connections, "connection")} in, ${upstream.connections} out`),
      tile("Drops", short.format(this.drops.last ?? 0), "/s", chart("Drops and resets a second", persecond, this.drops, this.resets),
        `${short.format(sample.dropped)} of ${short.format(sample.requests)} since the start; ${octets(downstream.parked + upstream.parked)} parked`),
    );
  }

  drawDrops(sample) {
    const rows = new Map();
    const count = (list, place) => {
      for (const [side, cause, number] of list) {
        const key = `${side} ${cause}`;
        if (!rows.has(key)) rows.set(key, [side, cause, 0, 0, 0]);
        rows.get(key)[place] += number;
      }
    };
    const earlier = this.samples[0];
    count(sample.drops, 2);
    count(sample.drops, 3);
    count(earlier.drops.map(([side, cause, drops]) => [side, cause, -drops]), 3);
    count(sample.resets, 4);
    const worst = [...rows.values()].sort((one, other) => other[3] - one[3] || other[2] - one[2] || other[4] - one[4]);
    table("drops", worst.map(([side, cause, drops, lately, resets]) => [
      el("th", { scope: "row" }, side), el("td", { class: drops ? "bad" : null }, words(cause)),
      number(drops), number(lately, lately > 0), number(resets),
    ]), "None so far.", 5);
  }
}

const total = (counts) => counts.reduce((sum, each) => sum + each.at(-1), 0);
const number = (value, bad = false) => el("td", { class: bad ? "num bad" : "num" }, short.format(value));

function tile(title, value, unit, drawn, more) {
  return el("section", { class: "panel tile", "aria-label": title },
    el("h3", {}, title),
    el("p", { class: "value" }, value, el("small", {}, ` ${unit}`)), drawn, el("p", { class: "more" }, more));
}

function table(id, rows, empty, columns) {
  const body = byId(id).tBodies[0];
  if (rows.length) body.replaceChildren(...rows.map((cells) => el("tr", {}, ...cells)));
  else body.replaceChildren(el("tr", {}, el("td", { colspan: columns, class: "quiet" }, empty)));
}

function drawTrailers(sample) {
  const rows = new Map();
  for (const [direction, outcome, count] of sample.trailers) {
    if (!rows.has(outcome)) rows.set(outcome, { request: 0, response: 0 });
    rows.get(outcome)[direction] += count;
  }
  const all = total(sample.trailers) || 1;
  const lost = new Set(["dropped", "missing", "rejected"]);
  table("trailers", [...rows].map(([outcome, { request, response }]) => {
    const part = (request + response) / all;
    const bar = svg("svg", { viewBox: "0 0 100 10", preserveAspectRatio: "none", "aria-hidden": "true" },
      svg("rect", { width: 100 * part, height: 10 }));
    return [el("th", { scope: "row", class: lost.has(outcome) ? "bad" : null }, outcome), number(request), number(response),
      el("td", { class: "share" }, bar, el("span", { class: "unseen" }, `${plain.format(100 * part)} %`))];
  }), "None so far.", 4);
}

function drawUpstreams(sample) {
  const mood = { connected: "good", idle: "quiet", unreachable: "bad", sick: "bad", ejected: "warn" };
  table("upstreams", sample.places.map((place) => [
    el("th", { scope: "row" }, place.upstream), el("td", { class: "mono" }, place.endpoint),
    el("td", { class: mood[place.state] }, place.state), number(place.streams), number(place.connections),
  ]), "No endpoint is known: names resolve to nothing.", 5);
}

function drawSettings(sample) {
  const { reload, workers } = sample;
  const told = [];
  const say = (name, value, mood) => told.push(el("dt", {}, name), el("dd", { class: mood }, value));
  say("Reload", reload.ok ? `runs what was loaded at ${dayOf(reload.loaded_at)} ${timeOf(reload.loaded_at)}`
    : "the last one was refused; what ran before still does", reload.ok ? "good" : "bad");
  for (const problem of reload.problems) say("Problem", problem, "bad");
  for (const { kind, name, ends } of sample.certificates) {
    const days = Math.floor((ends - sample.at) / 86_400);
    say(`${kind} ${name}`, days < 0 ? `expired on ${dayOf(ends)}` : `expires in ${many(days, "day")}, on ${dayOf(ends)}`,
      days < 7 ? "bad" : days < 30 ? "warn" : null);
  }
  if (!sample.certificates.length) say("Certificates", "none are ours");
  const counts = Object.entries(workers);
  if (counts.length) say("Workers", counts.map(([state, count]) => `${count} ${state}`).join(", "));
  say("Codec", sample.codec);
  byId("settings").replaceChildren(...told);
}
