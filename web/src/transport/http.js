// The server of `geofovea serve`: plain requests with the token in a header, never in a cookie.

import { decoded } from "../address.js";
import { sceneOf } from "../scene.js";
import { eventsOf } from "./event_stream.js";

const KEY = "geofovea-token";

/** What the server refused, in its own words. */
export class RequestError extends Error {
  constructor(status, message, retryAfter = null) {
    super(message);
    this.status = status;
    this.retryAfter = retryAfter;
  }
}

/** Moves the token out of the address, where a screenshot or a bookmark would show it. */
export function takeToken() {
  const match = location.hash.match(/(?:^#|&)token=([^&]+)/);
  if (match) {
    sessionStorage.setItem(KEY, decoded(match[1]));
    history.replaceState(null, "", location.pathname + location.search);
  }
  return sessionStorage.getItem(KEY);
}

export class HttpTransport {
  constructor(token) {
    this.token = token;
    this.live = true;
  }

  async overview() {
    const overview = await (await this.#request("GET", "api/scenes")).json();
    return { ...overview, scenes: overview.scenes.map(sceneOf) };
  }

  /** One tile as a Blob. Waits where the scene is still being prepared. */
  async tile(scene, kind, level, row, col, signal) {
    const version = scene.version ? `?v=${encodeURIComponent(scene.version)}` : "";
    const path = `api/scenes/${encodeURIComponent(scene.id)}/${kind}/${level}/${row}/${col}${version}`;
    for (;;) {
      try {
        return await (await this.#request("GET", path, { signal })).blob();
      } catch (error) {
        if (error.status !== 503 && error.status !== 429) throw error;
        await pause((error.retryAfter ?? 1) * 1000, signal);
      }
    }
  }

  async ask(question) {
    return (await this.#request("POST", "api/jobs", { body: question })).json();
  }

  /** Calls `handle(name, data)` for each event of a job; resumes where a connection broke. */
  async events(job, handle, signal) {
    let last = null;
    for (let breaks = 0; ; breaks += 1) {
      const headers = last === null ? {} : { "Last-Event-ID": last };
      const path = `api/jobs/${encodeURIComponent(job)}/events`;
      try {
        const reply = await this.#request("GET", path, { headers, signal });
        let ended = false;
        for await (const event of eventsOf(reply.body)) {
          last = event.id ?? last;
          breaks = 0;
          ended = ["answer", "error", "cancelled"].includes(event.name);
          handle(event.name, event.data);
        }
        if (ended) return;
      } catch (error) {
        if (signal?.aborted || error.status || breaks > 5) throw error;
      }
      if (breaks > 5) throw new RequestError(0, "The connection to the server was lost.");
      await pause(Math.min(500 * 2 ** breaks, 8000), signal);
    }
  }

  async cancel(job) {
    await this.#request("DELETE", `api/jobs/${encodeURIComponent(job)}`);
  }

  async history() {
    return (await (await this.#request("GET", "api/jobs")).json()).jobs;
  }

  async exported(job, file) {
    return (await this.#request("GET", `api/jobs/${encodeURIComponent(job)}/${file}`)).blob();
  }

  async #request(method, path, { body, headers = {}, signal } = {}) {
    const reply = await reached(path, {
      method,
      signal,
      credentials: "omit",
      headers: {
        Authorization: `Bearer ${this.token ?? ""}`,
        ...(body ? { "Content-Type": "application/json" } : {}),
        ...headers,
      },
      body: body ? JSON.stringify(body) : undefined,
    });
    if (reply.ok) return reply;
    const wait = Number(reply.headers.get("Retry-After"));
    throw new RequestError(reply.status, await messageOf(reply), wait > 0 ? wait : null);
  }
}

/** As `fetch`; browsers say of a server that is gone that they "failed to fetch". */
async function reached(path, options) {
  try {
    return await fetch(path, options);
  } catch (error) {
    if (options.signal?.aborted) throw error;
    throw new RequestError(0, "The server does not answer: see whether geofovea serve still runs.");
  }
}

async function messageOf(reply) {
  const text = await reply.text();
  try {
    return JSON.parse(text).error;
  } catch {
    return text || `The server answered ${reply.status}.`;
  }
}

function pause(milliseconds, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, milliseconds);
    signal?.addEventListener("abort", () => {
      clearTimeout(timer);
      reject(signal.reason);
    }, { once: true });
  });
}
