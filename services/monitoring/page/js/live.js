// The state, as it comes: from a stream, or by asking every two seconds while there is no stream.

const POLL_MS = 2000;
const SILENCE_MS = 10000;
const STREAM_AGAIN_MS = 15000;
const HIDDEN_MS = 15000;

// onSections(changed, ports) for what is new; onMode("live" | "asking" | "lost" | "paused" | "waiting").
export class Live {
  constructor({ onSections, onMode }) {
    this.onSections = onSections;
    this.onMode = onMode;
    this.paused = false;
    this.stream = null;
    this.timers = new Map();
    this.known = {};
    // A page that nobody looks at holds no thread of the server.
    document.addEventListener("visibilitychange", () => {
      if (document.hidden) this.later("hide", HIDDEN_MS, () => this.stop());
      else if (!this.forget("hide") && !this.paused) this.start();
    });
  }

  start() {
    this.stop();
    this.openStream();
  }

  stop() {
    this.stream?.close();
    this.stream = null;
    for (const name of [...this.timers.keys()]) this.forget(name);
  }

  pause(paused) {
    this.paused = paused;
    if (paused) {
      this.stop();
      this.onMode("paused");
    } else {
      this.onMode("waiting");
      this.start();
    }
  }

  // Look now: a button was pressed.
  async refresh() {
    if (!this.paused && this.stream?.readyState === EventSource.OPEN) return;
    await this.ask().catch(() => {});
  }

  openStream() {
    const stream = new EventSource("/dashboard/events");
    this.stream = stream;
    const heard = () => {
      this.onMode("live");
      this.forget("poll");
      this.later("silence", SILENCE_MS, () => this.withoutStream());
    };
    stream.addEventListener("state", (event) => {
      heard();
      this.take(JSON.parse(event.data));
    });
    stream.addEventListener("beat", heard);
    stream.addEventListener("error", () => {
      // CONNECTING: it ended after its minutes or the server restarts, and the browser tries again,
      // which is an error each time: the silence is counted from the first.
      if (stream.readyState === EventSource.CLOSED) this.withoutStream();
      else if (!this.timers.has("silence")) this.later("silence", SILENCE_MS, () => this.withoutStream());
    });
  }

  withoutStream() {
    this.stream?.close();
    this.stream = null;
    this.forget("silence");
    this.later("again", STREAM_AGAIN_MS, () => this.openStream());
    this.poll();
  }

  async poll() {
    try {
      await this.ask();
      if (this.paused || this.stream?.readyState === EventSource.OPEN) return;
      this.onMode("asking");
    } catch {
      if (this.paused) return;
      this.onMode("lost");
    }
    this.later("poll", POLL_MS, () => this.poll());
  }

  async ask() {
    const answer = await fetch("/dashboard/state", { signal: AbortSignal.timeout(20000) });
    if (!answer.ok) throw new Error(`GET /dashboard/state: ${answer.status}`);
    this.take(await answer.json());
  }

  take(state) {
    const changed = {};
    for (const [name, section] of Object.entries(state.sections)) {
      const text = JSON.stringify([section.data, section.error]);
      if (this.known[name] !== text) changed[name] = section;
      this.known[name] = text;
    }
    this.onSections(changed, { ml_model: state.ml_model_port, tracking: state.tracking_port, mlflow: state.mlflow_port });
  }

  later(name, delay, run) {
    this.forget(name);
    this.timers.set(name, setTimeout(() => {
      this.timers.delete(name);
      run();
    }, delay));
  }

  // Tells whether the timer was still running.
  forget(name) {
    clearTimeout(this.timers.get(name));
    return this.timers.delete(name);
  }
}
