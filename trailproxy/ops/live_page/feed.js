// The feed: server-sent events over fetch, which, unlike EventSource, can bring a token along.

const TOKEN = "trailproxy-token";
const IDLE_MS = 60_000; // a page that nobody sees lets the proxy rest

/** Ask the admin listener; a token that was given is sent along. */
async function ask(path, options = {}) {
  const token = sessionStorage.getItem(TOKEN);
  const headers = { ...options.headers };
  if (token) headers.Authorization = `Bearer ${token}`;
  const answer = await fetch(path, { ...options, headers, cache: "no-store", referrerPolicy: "no-referrer" });
  show(byId("token-form"), answer.status === 401);
  return answer;
}

/** What is wrong with an answer, in the listener's own words. */
async function complaint(answer) {
  const told = await answer.json().catch(() => ({}));
  return told.error || `${answer.status} ${answer.statusText}`;
}

class Feed {
  /** `told` is called with the name and the data of each event, `state` with how it goes. */
  constructor(told, state) {
    this.told = told;
    this.state = state;
    this.running = null;
    byId("token-form").addEventListener("submit", (event) => {
      event.preventDefault();
      sessionStorage.setItem(TOKEN, byId("token").value);
      byId("token").value = "";
      this.start();
    });
    document.addEventListener("visibilitychange", () => {
      clearTimeout(this.resting);
      if (document.hidden) this.resting = setTimeout(() => this.stop(), IDLE_MS);
      else if (this.running === null) this.start();
    });
  }

  start() {
    this.stop();
    this.running = new AbortController();
    this.listen(this.running.signal);
  }

  stop() {
    this.running?.abort();
    this.running = null;
  }

  async listen(signal) {
    for (let wait = 500; !signal.aborted; wait = Math.min(wait * 2, 8000)) {
      try {
        const answer = await ask("/live", { method: "POST", signal });
        if (answer.status === 401) {
          this.state("a token is needed", false);
          this.running = null;
          return;
        }
        if (!answer.ok) throw new Error(await complaint(answer));
        wait = 500;
        this.told("begin", null);
        await this.read(answer.body);
        throw new Error("the listener has closed");
      } catch (error) {
        if (signal.aborted) return;
        this.state(`not connected: ${error.message}`, false);
        await new Promise((go) => setTimeout(go, wait));
      }
    }
  }

  async read(body) {
    const reader = body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = "";
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      const events = (rest + value).split("\n\n");
      rest = events.pop();
      for (const event of events) this.tell(event);
    }
  }

  tell(event) {
    const name = /^event: (.*)$/m.exec(event);
    const data = /^data: (.*)$/m.exec(event);
    if (name && data) this.told(name[1], JSON.parse(data[1]));
  }
}
