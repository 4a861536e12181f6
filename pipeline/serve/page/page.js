// The page of `headrace serve`. Everything that comes from files or providers is put in as text and never as markup.

const POLL_MS = 2000;
const PAGE_SIZE = 50;
const PACE_MS = 30000; // over which a batch's rows per second are told
const HEAD_BYTES = 262144; // of a chosen file that are looked at before it is uploaded
const FINAL = new Set(["completed", "failed", "expired", "cancelled"]);
const TIMES = ["created_at", "in_progress_at", "finalizing_at", "completed_at", "failed_at", "cancelling_at", "cancelled_at", "expired_at", "expires_at"];

const byId = (id) => document.getElementById(id);
const seen = new Map(); // by batch: [time, rows done] of late
let older = []; // batches that "Older batches" has fetched
let shown = []; // the newest ones
let moreFrom = null; // where the list goes on
let chosen = null;
let openDetail = null;
let key = sessionStorage.getItem("key") ?? "";

function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name in element && name !== "list") element[name] = value;
    else element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined && child !== ""));
  return element;
}

class Refused extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

const headers = () => (key ? { authorization: `Bearer ${key}` } : {});

async function api(path, options = {}) {
  const response = await fetch(path, { ...options, headers: { ...headers(), ...options.headers }, cache: "no-store" });
  if (!response.ok) {
    const body = await response.json().catch(() => null);
    throw new Refused(response.status, body?.error?.message ?? `HTTP ${response.status}`);
  }
  return response;
}

const get = async (path) => (await api(path)).json();
const post = async (path, value) =>
  (await api(path, { method: "POST", body: JSON.stringify(value), headers: { "content-type": "application/json" } })).json();

// ---- words ---------------------------------------------------------------------------------------------------------

const number = (value) => Math.round(value).toLocaleString("en");

function rate(perSecond) {
  if (perSecond >= 10) return `${number(perSecond)}/s`;
  return perSecond >= 1 ? `${perSecond.toFixed(1)}/s` : `${(perSecond * 60).toFixed(1)}/min`;
}

function size(bytes) {
  const units = ["bytes", "kB", "MB", "GB", "TB"];
  let unit = 0;
  while (bytes >= 1000 && unit < units.length - 1) {
    bytes /= 1000;
    unit += 1;
  }
  return `${unit ? bytes.toFixed(1) : bytes} ${units[unit]}`;
}

function duration(seconds) {
  if (seconds < 90) return `${Math.max(0, Math.round(seconds))} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  return seconds < 172800 ? `${Math.floor(seconds / 3600)} h ${Math.round((seconds % 3600) / 60)} min` : `${Math.round(seconds / 86400)} days`;
}

const moment = (seconds) => new Date(seconds * 1000).toLocaleString();
const done = (batch) => batch.request_counts.completed + batch.request_counts.failed;

// What a batch does per second, from what was seen of it lately.
function paceOf(batch) {
  const points = seen.get(batch.id) ?? [];
  if (points.length < 2) return 0;
  const [from, to] = [points[0], points[points.length - 1]];
  return ((to[1] - from[1]) * 1000) / (to[0] - from[0]);
}

function note(batch) {
  const points = seen.get(batch.id) ?? [];
  points.push([performance.now(), done(batch)]);
  while (points.length > 2 && points[0][0] < performance.now() - PACE_MS) points.shift();
  seen.set(batch.id, points);
}

// ---- the whole server ----------------------------------------------------------------------------------------------

function showState(state) {
  const health = byId("health");
  health.className = state.reason ? "held" : "good";
  health.replaceChildren(state.reason ? `Nothing is sent: ${state.reason} ` : "Working");
  if (state.reason) {
    health.append(make("button", { type: "button", className: "quiet", onclick: () => act(() => post("/v1/headrace/again", {})) }, "Try now"));
  }
  const limits = state.lanes.map((lane) => limitOf(lane, state.lanes.length > 1)).join("; ");
  const facts = [
    ["Requests", rate(state.requests_per_second)],
    ["Limit", limits || "none known"],
    ["Limited by", state.limited_by.replaceAll("_", " ") || "nothing"],
    ["In flight", number(state.in_flight)],
    ["Retries waiting", number(state.waiting)],
    ["Disk free", size(state.free_bytes)],
  ];
  byId("facts").replaceChildren(...facts.map(([name, value]) => make("div", {}, make("dt", {}, name), make("dd", {}, value))));
}

function limitOf(lane, several) {
  const name = several ? `${lane.name}: ` : "";
  const limit = lane.limit_per_minute === null ? null : rate(lane.limit_per_minute / 60);
  const found = lane.found_per_minute === null ? null : `${rate(lane.found_per_minute / 60)} found`;
  return name + ([limit, found].filter(Boolean).join(", ") || `${number(lane.most_in_flight)} in flight`);
}

// ---- batches -------------------------------------------------------------------------------------------------------

function batchRow(batch, now) {
  const counts = batch.request_counts;
  const failed = counts.failed ? make("span", { className: "bad" }, ` · ${number(counts.failed)} failed`) : null;
  const pace = FINAL.has(batch.status) ? 0 : paceOf(batch);
  const left = pace > 0 ? ` · ${rate(pace)}, ${duration((counts.total - done(batch)) / pace)} left` : "";
  const cost = batch.headrace.cost === null ? "" : ` · cost ${batch.headrace.cost.toFixed(4)}`;
  const tokens = batch.usage?.total_tokens ?? (batch.headrace.input_tokens ?? 0) + (batch.headrace.output_tokens ?? 0);
  return make(
    "li",
    {},
    make(
      "button",
      { type: "button", className: "row", "data-id": batch.id, onclick: () => showDetail(batch.id) },
      make("span", {}, make("span", { className: "name" }, batch.headrace.name || batch.id), make("br"), make("span", { className: "soft" }, `${duration(now - batch.created_at)} ago`)),
      make("span", { className: statusClass(batch) }, batch.status.replace("_", " ")),
      make(
        "span",
        {},
        make("progress", { max: Math.max(1, counts.total), value: done(batch), "aria-label": `${number(done(batch))} of ${number(counts.total)} rows` }),
        make("span", { className: "soft" }, `${number(done(batch))} of ${number(counts.total)}`, failed),
      ),
      make("span", { className: "soft" }, `${number(tokens)} tokens${cost}${left}`),
    ),
    batch.headrace.reason ? make("p", { className: "held soft" }, batch.headrace.reason) : null,
  );
}

function statusClass(batch) {
  if (batch.status === "completed") return "good";
  return ["failed", "expired", "cancelled"].includes(batch.status) ? "bad" : batch.headrace.reason ? "held" : "";
}

function showBatches(now) {
  const list = byId("batches");
  const focused = document.activeElement?.dataset?.id;
  const all = [...shown, ...older.filter((batch) => !shown.some((other) => other.id === batch.id))];
  list.replaceChildren(...all.map((batch) => batchRow(batch, now)));
  if (focused) list.querySelector(`[data-id="${CSS.escape(focused)}"]`)?.focus();
  byId("empty").hidden = all.length > 0;
  byId("older").hidden = moreFrom === null;
}

async function fetchOlder() {
  const page = await get(`/v1/batches?limit=${PAGE_SIZE}&after=${encodeURIComponent(moreFrom)}`);
  older.push(...page.data);
  moreFrom = page.has_more ? page.last_id : null;
  await refresh();
}

// ---- one batch -----------------------------------------------------------------------------------------------------

async function showDetail(id) {
  openDetail = id;
  await refreshDetail();
  if (!byId("detail").open) byId("detail").showModal();
}

async function refreshDetail() {
  const batch = await get(`/v1/batches/${openDetail}`);
  const times = TIMES.filter((name) => batch[name] !== null).map((name) => [name.replace("_at", "").replace("_", " "), moment(batch[name])]);
  byId("detail-title").textContent = batch.headrace.name || batch.id;
  const facts = [["id", batch.id], ["status", batch.status], ["endpoint", batch.endpoint], ["model", batch.model ?? "–"], ...times];
  const problems = batch.errors?.data ?? [];
  const failures = Object.entries(batch.headrace.failures ?? {});
  const confirming = byId("detail-body").querySelector("[data-confirming]") !== null;
  byId("detail-body").replaceChildren(
    ...[
      batch.headrace.reason ? make("p", { className: "held" }, batch.headrace.reason) : null,
      make("dl", {}, ...facts.map(([name, value]) => make("div", {}, make("dt", {}, name), make("dd", {}, value)))),
      make("div", { className: "actions" }, ...actions(batch, confirming)),
      problems.length ? make("h3", {}, "What is wrong with the file") : null,
      problems.length ? make("ul", {}, ...problems.map((each) => make("li", {}, each.line ? `line ${each.line}: ` : "", each.message, make("span", { className: "soft" }, ` ${each.code}`)))) : null,
      failures.length ? make("h3", {}, "Why rows failed") : null,
      failures.length ? make("ul", {}, ...failures.map(([code, each]) => make("li", {}, make("b", {}, `${number(each.count)} × ${code}`), `: ${each.message}`, make("span", { className: "soft" }, ` (${each.custom_id})`)))) : null,
      make("h3", {}, "In Python"),
      make("pre", {}, pythonFor(batch.id)),
    ].filter(Boolean),
  );
}

function actions(batch, confirming) {
  const made = [];
  if (batch.output_file_id) made.push(download(batch.output_file_id, "Download results", `${batch.id}_output.jsonl`));
  if (batch.error_file_id) made.push(download(batch.error_file_id, "Download failures", `${batch.id}_error.jsonl`));
  if (batch.error_file_id && FINAL.has(batch.status)) {
    made.push(make("button", { type: "button", className: "quiet", onclick: () => act(() => runAgain(batch.id)) }, "Run the failed rows again"));
  }
  if (["validating", "in_progress"].includes(batch.status)) made.push(...cancelling(batch, confirming));
  return made;
}

function cancelling(batch, confirming) {
  if (confirming) {
    return [
      make("span", { "data-confirming": "" }, "Cancel this batch? The answers that came are kept."),
      make("button", { type: "button", className: "danger", onclick: () => act(() => cancel(batch.id)) }, "Yes, cancel it"),
      make("button", { type: "button", className: "quiet", onclick: () => byId("detail-body").querySelector("[data-confirming]").remove() || refreshDetail() }, "No"),
    ];
  }
  return [
    make("button", {
      type: "button",
      className: "danger",
      onclick: (event) => {
        event.target.parentElement.replaceChildren(...cancelling(batch, true));
        byId("detail-body").querySelector("button.danger").focus();
      },
    }, "Cancel"),
  ];
}

async function cancel(id) {
  byId("detail-body").querySelector("[data-confirming]")?.remove();
  await post(`/v1/batches/${id}/cancel`, {});
  await refresh();
}

async function runAgain(id) {
  const batch = await post(`/v1/headrace/batches/${id}/again`, {});
  await refresh();
  await showDetail(batch.id);
}

// A link would not send the key, so with one the file is fetched first.
function download(file, label, name) {
  const path = `/v1/files/${file}/content`;
  if (!key) return make("a", { className: "button", href: path, download: name }, label);
  const save = async () => {
    const link = make("a", { href: URL.createObjectURL(await (await api(path)).blob()), download: name });
    link.click();
    URL.revokeObjectURL(link.href);
  };
  return make("button", { type: "button", onclick: () => act(save) }, label);
}

function pythonFor(id) {
  const after = id ? `batch = client.batches.retrieve("${id}")` : 'file = client.files.create(file=open("requests.jsonl", "rb"), purpose="batch")\nbatch = client.batches.create(input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h")';
  return `from openai import OpenAI\nclient = OpenAI(base_url="${location.origin}/v1", api_key="${key ? "…" : "unused"}")\n${after}`;
}

// ---- a new batch ---------------------------------------------------------------------------------------------------

async function choose(file) {
  chosen = { file, endpoint: null };
  byId("new-problem").textContent = "";
  const lines = (await file.slice(0, HEAD_BYTES).text()).split("\n");
  if (file.size > HEAD_BYTES) lines.pop(); // the last one is cut
  const problems = [];
  lines.forEach((line, at) => {
    if (!line.trim()) return;
    try {
      const row = JSON.parse(line);
      chosen.endpoint ??= row.url;
      for (const field of ["custom_id", "method", "url", "body"]) {
        if (row[field] === undefined) problems.push(`line ${at + 1}: ${field} is missing`);
      }
      if (row.url !== undefined && row.url !== chosen.endpoint) problems.push(`line ${at + 1}: url is ${row.url}, and ${chosen.endpoint} before`);
    } catch (error) {
      problems.push(`line ${at + 1}: ${error.message}`);
    }
  });
  if (!chosen.endpoint) problems.push("no request was found in it");
  byId("chosen-name").textContent = `${file.name}, ${size(file.size)}${chosen.endpoint ? `, for ${chosen.endpoint}` : ""}`;
  byId("chosen-problems").replaceChildren(...problems.slice(0, 5).map((problem) => make("li", {}, problem)));
  byId("start").disabled = problems.length > 0;
  byId("chosen").hidden = false;
  byId(problems.length ? "forget" : "start").focus();
}

function upload(file) {
  const bar = byId("upload-progress");
  const body = new FormData();
  body.append("purpose", "batch");
  body.append("file", file);
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest(); // fetch does not tell how far an upload is
    request.upload.addEventListener("progress", (event) => {
      bar.hidden = false;
      bar.value = event.total ? event.loaded / event.total : 0;
    });
    request.addEventListener("load", () => {
      const answer = JSON.parse(request.responseText || "{}");
      if (request.status === 200) resolve(answer);
      else reject(new Refused(request.status, answer.error?.message ?? `HTTP ${request.status}`));
    });
    request.addEventListener("error", () => reject(new Refused(0, "the connection was lost")));
    request.open("POST", "/v1/files");
    if (key) request.setRequestHeader("authorization", `Bearer ${key}`);
    request.send(body);
  });
}

async function start() {
  byId("start").disabled = true;
  try {
    const file = await upload(chosen.file);
    await post("/v1/batches", { input_file_id: file.id, endpoint: chosen.endpoint, completion_window: "24h" });
    forget();
    await refresh();
  } finally {
    byId("start").disabled = false;
    byId("upload-progress").hidden = true;
  }
}

function forget() {
  chosen = null;
  byId("chosen").hidden = true;
  byId("file").value = "";
}

// ---- files ---------------------------------------------------------------------------------------------------------

async function showFiles() {
  if (!byId("files-section").open) return;
  const page = await get(`/v1/files?limit=${PAGE_SIZE * 2}`);
  const rows = page.data.map((file) =>
    make(
      "li",
      {},
      make("span", { className: "name" }, file.filename),
      make("span", { className: "soft" }, `${size(file.bytes)} · ${file.purpose} · ${moment(file.created_at)}`),
      download(file.id, "Download", file.filename),
      make("button", { type: "button", className: "danger", onclick: () => act(() => remove(file)) }, "Delete"),
    ),
  );
  byId("files").replaceChildren(...(rows.length ? rows : [make("li", {}, "There are none.")]));
}

async function remove(file) {
  if (!window.confirm(`Delete ${file.filename}? A batch that uses it goes on.`)) return;
  await api(`/v1/files/${file.id}`, { method: "DELETE" });
  await showFiles();
}

// ---- the page ------------------------------------------------------------------------------------------------------

// Do what was asked for; what goes wrong is told where it can be read.
async function act(work) {
  byId("new-problem").textContent = "";
  try {
    await work();
  } catch (error) {
    byId("new-problem").textContent = error.message;
    if (byId("detail").open) byId("detail-body").prepend(make("p", { className: "problem", role: "alert" }, error.message));
  }
}

async function refresh() {
  try {
    const [state, page] = await Promise.all([get("/v1/headrace"), get(`/v1/batches?limit=${PAGE_SIZE}`)]);
    byId("key-form").hidden = true;
    byId("content").hidden = false;
    shown = page.data;
    if (!older.length) moreFrom = page.has_more ? page.last_id : null;
    shown.forEach(note);
    showState(state);
    showBatches(state.now);
    if (openDetail && byId("detail").open) await refreshDetail();
  } catch (error) {
    const wantsKey = error.status === 401;
    byId("key-form").hidden = !wantsKey;
    byId("content").hidden = wantsKey || byId("content").hidden;
    byId("key-problem").textContent = wantsKey && key ? error.message : "";
    byId("health").className = "held";
    byId("health").textContent = wantsKey ? "A key is needed." : `The server does not answer: ${error.message}`;
  }
}

async function poll() {
  if (document.visibilityState === "visible") await refresh();
  setTimeout(poll, POLL_MS);
}

byId("key-form").addEventListener("submit", (event) => {
  event.preventDefault();
  key = byId("key").value.trim();
  sessionStorage.setItem("key", key);
  byId("key").value = "";
  refresh();
});
byId("file").addEventListener("change", (event) => event.target.files[0] && act(() => choose(event.target.files[0])));
byId("start").addEventListener("click", () => act(start));
byId("forget").addEventListener("click", forget);
byId("older").addEventListener("click", () => act(fetchOlder));
byId("detail-close").addEventListener("click", () => byId("detail").close());
byId("detail").addEventListener("close", () => (openDetail = null));
byId("files-section").addEventListener("toggle", () => act(showFiles));
for (const name of ["dragenter", "dragover"]) {
  document.addEventListener(name, (event) => {
    event.preventDefault();
    document.body.classList.add("dropping");
  });
}
document.addEventListener("dragleave", (event) => event.relatedTarget ?? document.body.classList.remove("dropping"));
document.addEventListener("drop", (event) => {
  event.preventDefault();
  document.body.classList.remove("dropping");
  if (event.dataTransfer.files[0]) act(() => choose(event.dataTransfer.files[0]));
});
document.addEventListener("visibilitychange", () => document.visibilityState === "visible" && refresh());
byId("lines").textContent = pythonFor(null);
poll();
