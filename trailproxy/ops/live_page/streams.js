// Streams: a table of exchanges in flight and just over, and which of them are shown.

const MOST_SHOWN = 200;

/** The name of each column that is filtered by, and how it is read from a row. */
const COLUMNS = {
  route: (row) => row.route,
  status: (row) => (row.status ? String(row.status) : "none"),
  grpc: (row) => row.grpc_status || "none",
  ending: (row) => endingOf(row),
  cause: (row) => row.cause || "none",
};

const STATES = {
  "": () => true,
  "in flight": (row) => inFlight(row),
  over: (row) => !inFlight(row),
  dropped: (row) => Boolean(row.cause),
  tapped: (row) => Boolean(row.tapped),
};

const inFlight = (row) => row.duration_ms === undefined && !row.lost;

/** How the response ended, or how far it is. */
function endingOf(row) {
  if (row.lost) return "out of sight";
  return inFlight(row) ? `in flight: ${row.response.phase}` : row.response.ending;
}

class Streams {
  /** `chosen` is called with the row that somebody picks, and with null for none. */
  constructor(chosen) {
    this.chosen = chosen;
    this.rows = new Map();
    this.lines = new Map();
    this.key = null;
    this.missed = 0;
    this.behind = 0; // seconds by which the proxy's clock is ahead of ours
    this.form = byId("filters");
    this.form.addEventListener("input", () => this.draw());
    this.form.addEventListener("reset", () => setTimeout(() => this.draw()));
    this.form.addEventListener("submit", (event) => event.preventDefault());
  }

  begin() {
    this.rows.clear();
    this.missed = 0;
  }

  add(event) {
    for (const row of event.rows) this.rows.set(row.key, row);
    for (const key of event.gone) this.rows.delete(key);
    this.missed = event.missed;
  }

  filter(state) {
    this.form.elements.state.value = state;
    this.draw();
    byId("streams").focus();
  }

  pick(key) {
    this.key = key;
    this.draw();
    this.chosen(key === null ? null : this.rows.get(key));
  }

  /** Leave the details, and go back to where they were asked for. */
  leave() {
    const line = this.lines.get(this.key);
    this.pick(null);
    line?.querySelector("button").focus();
  }

  draw() {
    this.drawChoices();
    const chosen = Object.fromEntries(new FormData(this.form));
    const path = chosen.path.toLowerCase();
    const fits = (row) => STATES[chosen.state](row)
      && Object.entries(COLUMNS).every(([name, read]) => !chosen[name] || chosen[name] === read(row))
      && (!path || row.path.toLowerCase().includes(path));
    const found = [...this.rows.values()].filter(fits).sort((one, other) => other.began - one.began);
    const shown = found.slice(0, MOST_SHOWN);
    this.drawRows(shown);
    show(byId("none"), !this.rows.size);
    const left = this.missed ? ` ${short.format(this.missed)} more were too many to follow.` : "";
    const flying = [...this.rows.values()].filter(inFlight).length;
    put(byId("shown"), `${shown.length} of ${many(this.rows.size, "exchange")} shown, ${flying} in flight.${left}`);
  }

  drawChoices() {
    for (const [name, read] of Object.entries(COLUMNS)) {
      const values = [...new Set([...this.rows.values()].map(read))].sort();
      choices(this.form.elements[name], values);
      if (name === "route") choices(byId("tap").elements.route, values);
    }
  }

  drawRows(shown) {
    const body = byId("rows").tBodies[0];
    const wanted = new Set(shown.map((row) => row.key));
    for (const [key, line] of this.lines) {
      if (wanted.has(key)) continue;
      line.remove();
      this.lines.delete(key);
    }
    let next = body.firstChild;
    for (const row of shown) {
      let line = this.lines.get(row.key);
      if (!line) {
        line = this.line(row.key);
        this.lines.set(row.key, line);
      }
      if (line === next) next = next.nextSibling;
      else body.insertBefore(line, next);
      this.drawLine(line, row);
    }
  }

  line(key) {
    const button = el("button", { type: "button", class: "pick", "aria-controls": "timeline" });
    const cell = (label, kind) => el("td", { role: "cell", class: kind, "data-label": label });
    const line = el("tr", { role: "row", onclick: () => this.pick(key) },
      cell(null), fill(cell(null), {}, [button]), cell("route"), cell("status", "num"), cell("gRPC"), cell("ending"),
      cell("cause", "bad"), cell("octets", "num"), cell("time", "num"));
    line.title = "";
    return line;
  }

  drawLine(line, row) {
    const [began, request, route, status, grpc, ending, cause, size, time] = line.cells;
    const flying = inFlight(row);
    line.className = [row.cause && "dropped", flying && "flying", row.key === this.key && "chosen"].filter(Boolean).join(" ");
    put(began, timeOf(row.began));
    const button = request.firstChild;
    put(button, `${row.method} ${row.path}`);
    button.title = `${row.authority}${row.path}, from ${row.peer}`;
    button.setAttribute("aria-expanded", String(row.key === this.key));
    put(route, row.worker ? `${row.route} · ${row.worker}` : row.route);
    put(status, row.status || (flying ? "" : "none"));
    put(grpc, row.grpc_status);
    put(ending, endingOf(row));
    put(cause, row.cause ? words(row.cause) : "");
    put(size, `↑ ${octets(row.request.octets ?? 0)} ↓ ${octets(row.response.octets ?? 0)}`);
    put(time, millis(flying ? 1000 * (Date.now() / 1000 + this.behind - row.began) : row.duration_ms));
  }
}

/** Offer these values and "any"; what is chosen stays, even when no row has it any more. */
function choices(select, values) {
  const chosen = select.value;
  const wanted = chosen && !values.includes(chosen) ? [...values, chosen] : values;
  const offered = [...select.options].slice(1).map((option) => option.value);
  if (select.options.length && offered.join("\n") === wanted.join("\n")) return;
  select.replaceChildren(el("option", { value: "" }, "any"),
    ...wanted.map((value) => el("option", { value }, words(value))));
  select.value = chosen;
}
