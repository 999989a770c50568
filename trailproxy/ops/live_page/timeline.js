// Timeline: all that is known of one exchange, and what it means.

/** What each cause means, with its side as the subject. */
const CAUSES = {
  client_reset: "The client reset the stream: it cancelled, or its own deadline passed.",
  client_gone: "The client's connection was lost.",
  client_protocol: "The client broke the protocol.",
  upstream_reset: "The upstream reset the stream.",
  upstream_refused: "The upstream refused the stream.",
  upstream_gone: "The upstream's connection was lost.",
  upstream_goaway: "The upstream went away, and said that it had not touched the request.",
  upstream_protocol: "The upstream broke the protocol.",
  upstream_done: "The upstream answered in full before the request had ended.",
  connect_failed: "No endpoint of the upstream could be reached.",
  no_endpoint: "The upstream's names resolve to nothing.",
  queue_full: "Too many requests waited for the upstream.",
  queue_timeout: "No stream to the upstream was free in time.",
  response_head_timeout: "The upstream sent no response head in time.",
  client_slow: "The client took next to nothing of what waited for it.",
  upstream_slow: "The upstream took next to nothing of what waited for it.",
  head_timeout: "A head, or another frame, began and did not end.",
  idle_timeout: "Nothing moved in either direction for too long.",
  total_timeout: "It took longer than the route allows.",
  deadline_exceeded: "The client's own deadline passed, as grpc-timeout told it.",
  drain_timeout: "It was still in flight when a drain ran out of time.",
  trailers_too_large: "Trailers were more than the route allows.",
  digest_mismatch: "A body is not what its digest says.",
  hook: "A hook of the route wanted it so.",
  hook_failed: "A hook of the route failed.",
  stream_limit: "The client had too many streams open.",
  flood: "A peer sent cheap frames in masses, and its connection was ended.",
  fields_too_large: "A head or trailers were more than the limits allow.",
  dot_segments: "The path leads out of what routes can judge.",
  no_route: "No route takes the request.",
  retried: "Another attempt took its place.",
  answered: "The proxy answered itself.",
  not_allowed: "Trailers came where none may be.",
  stream_over: "Something was said on a stream that could not take it.",
  worker_died: "The worker process that had it is gone.",
  internal: "A mistake of the proxy's own: please report it.",
};

const PHASES = {
  before_head: "before the response head", head: "behind the response head", body: "in the middle of the response",
  trailers: "while the end of the response waited", after_end: "behind the end of the response",
};

const BROKEN = new Set(["reset", "lost", "dropped"]);
const NAMES = { downstream: "client", upstream: "upstream" };

/** Say in a sentence or three what became of an exchange. */
function verdict(row) {
  if (row.lost) return "Out of sight: too much else was going on, or its worker is gone. How it ended is not known.";
  if (inFlight(row)) {
    const parked = (row.request.parked ?? 0) + (row.response.parked ?? 0);
    const waits = parked ? ` ${octets(parked)} wait for a reader.` : "";
    return `In flight. The request is at: ${row.request.phase}; the response at: ${row.response.phase}.${waits}`;
  }
  if (!row.cause) {
    if (row.answered) return `Completed: the proxy answered itself. ${row.why ?? ""}`;
    return `Completed: the response ended ${row.response.ending === "trailers" ? `with ${many(row.response.trailers ?? 0, "trailer")}` : "without trailers"}.`;
  }
  const told = [`Dropped. ${CAUSES[row.cause] ?? words(row.cause)}`];
  const [first] = row.resets ?? [];
  if (first) {
    const who = first.initiator === "peer" ? `The ${NAMES[first.side]} said` : `The proxy told the ${NAMES[first.side]}`;
    told.push(`${who} ${first.code}, ${PHASES[first.phase]}.`);
  }
  for (const reset of (row.resets ?? []).slice(1)) {
    told.push(`The ${NAMES[reset.side]} ${reset.initiator === "proxy" ? "was told" : "said"} ${reset.code}.`);
  }
  if (row.answered) told.push(`The client got an answer of the proxy's own: ${row.status}${row.grpc_status ? ` ${row.grpc_status}` : ""}.`);
  else if (row.response.ending === "trailers") told.push("The client got trailers that say why.");
  return told.join(" ");
}

class Timeline {
  constructor(leave) {
    this.leave = leave;
    this.place = byId("timeline");
    this.row = null;
    this.open = new Set(); // the field lists that are unfolded
    this.place.addEventListener("keydown", (event) => {
      if (event.key === "Escape") this.leave();
    });
  }

  async show(row) {
    this.row = row;
    byId("browser").classList.toggle("split", row !== null);
    show(this.place, row !== null);
    if (row === null) return;
    this.open.clear();
    this.place.replaceChildren(this.header(row), el("p", {}, "…"));
    byId("timeline-title").focus();
    await this.renew(row);
  }

  /** Fetch it again: the row is another than before. */
  async renew(row) {
    const answer = await ask(`/live/${encodeURIComponent(row.key)}`).catch(() => null);
    if (this.row === null || this.row.key !== row.key) return;
    this.row = row;
    if (answer?.ok) this.draw(await answer.json());
    else this.place.replaceChildren(this.header(row), el("p", { class: "verdict" }, verdict(row)), facts(row),
      el("p", { class: "quiet" }, "Its timeline is not remembered any more."));
  }

  header(row) {
    return el("header", {},
      el("h3", { id: "timeline-title", tabindex: "-1" }, `${row.method} ${row.path}`),
      el("button", { type: "button", onclick: () => this.leave() }, "Back"));
  }

  draw({ row, parts, left_out: leftOut }) {
    const focused = this.place.contains(document.activeElement) ? document.activeElement : null;
    const again = focused?.tagName === "SUMMARY" ? focused.parentElement.dataset.place : focused?.tagName;
    const notes = [];
    if (row.late) notes.push("It had begun before anybody looked: what passed until then is told as sums.");
    if (row.bare) notes.push("Nobody looked while it was in flight: this is what its record knows.");
    if (leftOut) notes.push(`${many(leftOut, "part")} too many to keep.`);
    this.place.replaceChildren(
      this.header(row),
      el("p", { class: "verdict" }, verdict(row)),
      facts(row),
      strip(parts, this.place.clientWidth - 26),
      el("div", { class: "sides" }, saw("client", "downstream", parts), saw("upstream", "upstream", parts)),
      ...notes.map((note) => el("p", { class: "quiet" }, note)),
      this.table(parts),
    );
    if (again === "BUTTON") this.place.querySelector("button").focus();
    else if (again === "H3") byId("timeline-title").focus();
    else if (again) this.place.querySelector(`details[data-place="${again}"] summary`)?.focus();
  }

  table(parts) {
    const rows = paired(parts).map(([first, second]) => {
      const cell = (side) => {
        const place = [first, second].find((each) => each !== undefined && parts[each].side === side);
        if (place === undefined) return el("td", { role: "cell" });
        const part = parts[place];
        return el("td", { role: "cell", "data-label": NAMES[side] }, arrow(part), " ", ...said(part), this.fields(part, place));
      };
      const part = parts[first];
      return el("tr", { role: "row", class: BROKEN.has(part.what) ? "bad" : null },
        el("td", { role: "cell", class: "num" }, spanOf(part)), cell("downstream"), cell("upstream"));
    });
    return el("table", { class: "parts", role: "table" },
      el("caption", { class: "unseen" }, "Every part, in order; what passed through stands in one row"),
      el("thead", { role: "rowgroup" }, el("tr", { role: "row" }, el("th", { scope: "col", class: "num" }, "Time"),
        el("th", { scope: "col" }, "Client"), el("th", { scope: "col" }, "Upstream"))),
      el("tbody", { role: "rowgroup" }, ...rows));
  }

  fields(part, place) {
    if (!part.fields?.length) return null;
    const more = part.left_out ? [el("li", { class: "quiet" }, `${many(part.left_out, "field")} left out or cut`)] : [];
    const details = el("details", { "data-place": place, open: this.open.has(place) ? "" : null },
      el("summary", {}, many(part.fields.length, "field")),
      el("ul", {}, ...part.fields.map(([name, value]) => el("li", {}, `${name}: ${value}`)), ...more));
    details.addEventListener("toggle", () => {
      if (details.open) this.open.add(place);
      else this.open.delete(place);
    });
    return details;
  }
}

/** The places of parts, two by two where one came and went on as it was at the same time. */
function paired(parts) {
  const taken = new Set();
  const rows = [];
  parts.forEach((part, place) => {
    if (taken.has(place)) return;
    const ahead = parts.slice(place + 1, place + 8).findIndex((other, step) => !taken.has(place + 1 + step)
      && part.way === "received" && other.way === "sent" && other.side !== part.side && other.what === part.what
      && other.octets === part.octets && other.chunks === part.chunks && other.at - part.at < 0.5);
    rows.push(ahead < 0 ? [place] : [place, place + 1 + ahead]);
    taken.add(place + 1 + ahead);
  });
  return rows;
}

/** Towards the upstream is to the right, towards the client to the left. */
function arrow(part) {
  const right = (part.side === "downstream") === (part.way === "received");
  const told = `${part.way === "received" ? "from" : "to"} the ${NAMES[part.side]}`;
  return el("span", { class: "arrow", title: told }, right ? "→" : "←", el("span", { class: "unseen" }, ` ${told}: `));
}

function spanOf(part) {
  const from = `${plain.format(part.at)} ms`;
  return part.until === undefined || part.until === part.at ? from : `${from} – ${plain.format(part.until)} ms`;
}

/** Say what a part is. */
function said(part) {
  const field = (name) => part.fields?.find(([known]) => known === name)?.[1];
  switch (part.what) {
    case "head":
    case "interim":
      return [field(":status") ? `head ${field(":status")}` : `head ${field(":method") ?? ""}`,
        ...(part.note ? [el("span", { class: "quiet mono" }, ` ${part.note}`)] : [])];
    case "data":
      if (part.chunks === 0) return [`${octets(part.octets)} before anybody looked`];
      return [part.chunks ? `${many(part.chunks, "chunk")}, ${octets(part.octets)} together` : octets(part.octets)];
    case "trailers":
      return ["trailers", ...(field("grpc-status") === undefined ? [] : [` grpc-status ${field("grpc-status")}`])];
    case "dropped":
      return [el("strong", {}, "trailers that could reach nobody")];
    case "reset":
      return [el("strong", {}, `RST_STREAM ${part.code}`), ` ${words(part.cause)}`];
    case "lost":
      return [el("strong", {}, "stream lost"), ` ${part.note || words(part.cause)}`];
    default:
      return ["end"];
  }
}

/** Sum up one side: what it said, and what it got from us. */
function saw(name, side, parts) {
  const sum = (way) => {
    const told = [];
    let body = null;
    for (const part of parts.filter((each) => each.side === side && each.way === way)) {
      if (part.what !== "data") {
        told.push(said(part).map((each) => (typeof each === "string" ? each : each.classList.contains("mono") ? "" : each.textContent)).join("").trim());
        continue;
      }
      if (!body) told.push(body = { octets: 0, chunks: 0 });
      body.octets += part.octets;
      body.chunks += part.chunks ?? 1;
    }
    return told.map((each) => (each === body ? `${octets(body.octets)} in ${many(body.chunks, "chunk")}` : each)).join(", ") || "nothing";
  };
  return el("section", {}, el("h4", {}, `The ${name}`),
    el("dl", {}, el("dt", {}, "said"), el("dd", {}, sum("received")), el("dt", {}, "got"), el("dd", {}, sum("sent"))));
}

function facts(row) {
  const told = [["Began", `${dayOf(row.began)} ${timeOf(row.began)}`], ["Took", inFlight(row) ? "in flight" : millis(row.duration_ms)],
    ["Client", `${row.peer}, listener ${row.listener}${row.worker ? `, worker ${row.worker}` : ""}`],
    ["Route", row.upstream ? `${row.route} → ${row.upstream} ${row.endpoint ?? ""}` : row.route]];
  if ((row.attempts ?? 0) > 1) told.push(["Attempts", row.attempts]);
  if (row.status) told.push(["Status", `${row.status}${row.grpc_status ? `, gRPC ${row.grpc_status}` : ""}`]);
  if (row.grpc_message) told.push(["Message", row.grpc_message]);
  if (row.cause) told.push(["Cause", `${row.cause}: ${row.why ?? ""}`]);
  return el("dl", {}, ...told.flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, value)]));
}

/** Draw the four ways of the parts over time, one below the other. */
function strip(parts, room) {
  const ways = [["downstream", "received", "client → proxy"], ["upstream", "sent", "proxy → upstream"],
    ["upstream", "received", "proxy ← upstream"], ["downstream", "sent", "client ← proxy"]];
  const [left, width, height] = [112, Math.max(room, 260), 26];
  const last = Math.max(...parts.map((part) => part.until ?? part.at), 1);
  const at = (time) => left + 8 + ((width - left - 16) * time) / last;
  const largest = Math.max(...parts.map((part) => part.octets ?? 0), 1);
  const drawn = svg("svg", { class: "strip", viewBox: `0 0 ${width} ${ways.length * height + 16}`, role: "img" });
  ways.forEach(([side, way, name], place) => {
    const middle = place * height + height / 2;
    drawn.append(svg("text", { x: 0, y: middle + 4 }, name), svg("line", { class: "way", x1: left, x2: width, y1: middle, y2: middle }));
    for (const part of parts) {
      if (part.side === side && part.way === way) drawn.append(mark(part, at, middle, largest));
    }
  });
  drawn.append(svg("text", { x: left, y: ways.length * height + 12 }, "0"),
    svg("text", { x: width, y: ways.length * height + 12, "text-anchor": "end" }, millis(last)));
  drawn.setAttribute("aria-label", `${many(parts.length, "part")} in ${millis(last)}; the table below has each of them`);
  return drawn;
}

function mark(part, at, y, largest) {
  const x = at(part.at);
  const told = svg("title", {}, `${spanOf(part)}: ${said(part).map((each) => each.textContent ?? each).join("")}`);
  switch (part.what) {
    case "data": {
      const tall = 4 + 14 * Math.sqrt(part.octets / largest);
      return svg("rect", { class: "data", x: x - 1, y: y - tall / 2, width: Math.max(at(part.until ?? part.at) - x, 0) + 2, height: tall }, told);
    }
    case "reset":
    case "lost":
    case "dropped":
      return svg("path", { class: "reset", d: `M${x - 5} ${y - 5} l10 10 m0 -10 l-10 10` }, told);
    case "trailers":
      return svg("path", { class: "trailers", d: `M${x} ${y - 7} l7 7 l-7 7 l-7 -7 z` }, told);
    case "end":
      return svg("rect", { class: "end", x: x - 1.5, y: y - 8, width: 3, height: 16 }, told);
    default:
      return svg("rect", { class: "head", x: x - 4, y: y - 6, width: 8, height: 12, rx: 1 }, told);
  }
}
