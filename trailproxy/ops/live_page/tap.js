// Tap: a capture, begun, watched, ended and fetched.

const ENDED = {
  time: "its time was over", exchanges: "it has as many as were wanted", size: "it is as large as it may be", order: "it was stopped",
};

class Tap {
  /** `look` shows what is tapped. */
  constructor(look) {
    this.state = null;
    this.form = byId("tap");
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.start();
    });
    byId("tap-stop").addEventListener("click", () => this.order("/tap", { method: "DELETE" }));
    byId("tap-download").addEventListener("click", () => this.download());
    byId("tap-show").addEventListener("click", look);
    byId("cause-names").replaceChildren(...Object.keys(CAUSES).map((value) => el("option", { value })));
    const codes = ["OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS",
      "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED", "INTERNAL",
      "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED"];
    byId("grpc-names").replaceChildren(...codes.map((value) => el("option", { value })));
  }

  start() {
    const { elements } = this.form;
    const only = {};
    for (const name of ["route", "method", "path_prefix", "grpc_status", "cause"]) {
      if (elements[name].value) only[name] = elements[name].value;
    }
    if (elements.status.value) only.status = Number(elements.status.value);
    if (elements.dropped.checked) only.dropped = true;
    const wanted = { only };
    for (const name of ["seconds", "exchanges", "body_octets"]) wanted[name] = Number(elements[name].value);
    this.order("/tap", { method: "POST", body: JSON.stringify(wanted) });
  }

  async order(path, options) {
    const answer = await ask(path, options).catch(() => null);
    if (answer?.ok) this.draw(await answer.json());
    else put(byId("tap-state"), `Refused: ${answer ? await complaint(answer) : "the listener does not answer"}`);
  }

  async download() {
    const answer = await ask(`/tap/${this.state.id}`).catch(() => null);
    if (!answer?.ok) {
      put(byId("tap-state"), "It is not kept any more.");
      return;
    }
    const link = el("a", { href: URL.createObjectURL(await answer.blob()), download: "trailproxy.har" });
    link.click();
    URL.revokeObjectURL(link.href);
  }

  draw(state) {
    this.state = state;
    const running = state !== null && !state.ended;
    show(byId("tap-stop"), running);
    show(byId("tap-download"), state !== null);
    show(byId("tap-show"), state !== null);
    show(this.form, !running);
    if (state === null) {
      put(byId("tap-state"), "Off. Nothing is captured, and nothing is paid for it.");
      return;
    }
    const lost = state.lost ? ` (${many(state.lost, "more was", "more were")} too much to keep)` : "";
    const caught = `${many(state.caught, "exchange")}, ${octets(state.octets)}${lost}`;
    put(byId("tap-state"), running
      ? `Runs: ${caught} of at most ${state.exchanges}; ${many(Math.ceil(state.seconds_left), "second")} left.`
      : `Off: ${ENDED[state.ended]}. Caught ${caught}; kept for ten minutes.`);
  }
}
