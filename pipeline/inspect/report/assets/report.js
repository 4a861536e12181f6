"use strict";
// The report's plots and tables. Everything that comes from the run is put into the page as text, never as markup.
const DATA = JSON.parse(document.getElementById("data").textContent);
const one = (selector, root = document) => root.querySelector(selector);
const all = (selector, root = document) => [...root.querySelectorAll(selector)];
const colour = name => getComputedStyle(document.documentElement).getPropertyValue("--" + name).trim();

function element(name, text, classes) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  if (classes) made.className = classes;
  return made;
}

// ---- how values are written ---------------------------------------------------------------------------------------

const two = number => String(number).padStart(2, "0");

function clock(seconds) {
  if (seconds == null) return "–";
  const minutes = Math.floor(seconds / 60), hours = Math.floor(minutes / 60), rest = Math.floor(seconds % 60);
  return hours ? `${hours}:${two(minutes % 60)}:${two(rest)}` : `${minutes}:${two(rest)}`;
}

function figure(value) {
  if (value == null) return "–";
  const size = Math.abs(value);
  if (size >= 1e6) return (value / 1e6).toFixed(2) + " M";
  if (size >= 1e4) return (value / 1e3).toFixed(0) + " k";
  if (size >= 100) return Math.round(value).toLocaleString("en");
  if (size >= 10) return value.toFixed(1).replace(/\.0$/, "");
  return size === 0 ? "0" : value.toPrecision(2).replace(/\.0+$/, "");
}

const secondsText = value => value == null ? "–" : value < 0.9995 ? Math.round(value * 1000) + " ms" : figure(value) + " s";
const UNITS = {
  rate: value => value == null ? "–" : figure(value) + "/s",
  seconds: secondsText,
  count: figure,
  percent: value => value == null ? "–" : Math.round(value) + "%",
  money: value => value == null ? "–" : value.toFixed(value && value < 0.1 ? 4 : 2),
  tokens: figure,
};

// ---- colours ------------------------------------------------------------------------------------------------------

const parts = hex => [1, 3, 5].map(at => parseInt((hex.length === 4 ? "#" + [...hex.slice(1)].map(x => x + x).join("") : hex).slice(at, at + 2), 16));
const faint = (hex, share) => hex + Math.round(share * 255).toString(16).padStart(2, "0");

function mixed(hex, ground, share) {
  const behind = parts(ground);
  return "#" + parts(hex).map((value, at) => Math.round(value * share + behind[at] * (1 - share)).toString(16).padStart(2, "0")).join("");
}

// ---- plots --------------------------------------------------------------------------------------------------------

const plots = [], live = one("#live");
const TICKS = [0.001, 0.01, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 300, 1000];

function seriesOf(spec, raw, timed) {
  const first = { label: timed ? "time" : "seconds", value: (_, value) => value == null ? "" : timed ? clock(value) : secondsText(value) };
  return [first, ...spec.series.map((line, at) => ({
    label: line.label,
    scale: "y",
    stroke: () => colour(line.c),
    width: spec.stacked ? 0 : 1.75,
    dash: line.dash ? [5, 4] : undefined,
    points: { show: false },
    paths: line.step || spec.stacked ? uPlot.paths.stepped({ align: 1 }) : undefined,
    value: (_, __, ___, place) => place == null ? "" : UNITS[spec.unit](raw[at][place]),
    fill: spec.stacked ? () => mixed(colour(line.c), colour("card"), Number(colour("mix")))
      : line.fill ? () => faint(colour(line.c), Number(colour("band"))) : undefined,
  }))];
}

function axesOf(spec, timed) {
  const plain = {
    stroke: () => colour("muted"), font: "12px system-ui, sans-serif",
    grid: { stroke: () => colour("grid"), width: 1 }, ticks: { stroke: () => colour("grid"), width: 1, size: 4 },
  };
  const some = (_, splits) => splits.map(value => TICKS.includes(Number(value.toPrecision(3))) ? value : null);
  const sparse = { filter: some, grid: { ...plain.grid, filter: some }, ticks: { ...plain.ticks, filter: some } };
  const write = timed ? clock : secondsText, unit = UNITS[spec.unit];
  const steps = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200, 86400];
  return [
    { ...plain, values: (_, values) => values.map(value => value == null ? "" : write(value)), size: 28, space: 70,
      incrs: timed ? steps : undefined, ...(timed ? {} : sparse) },
    { ...plain, scale: "y", values: (_, values) => values.map(value => value == null ? "" : unit(value)),
      size: (_, values) => values ? Math.max(34, Math.max(...values.map(value => value.length)) * 7.2 + 12) : 40, ...(spec.log ? sparse : {}) },
  ];
}

function shadeMarks(plot) {
  const { ctx, bbox } = plot;
  ctx.save();
  for (const [start, end] of DATA.marks) {
    const from = Math.max(plot.valToPos(start, "x", true), bbox.left), to = Math.min(plot.valToPos(end, "x", true), bbox.left + bbox.width);
    if (to < bbox.left || from > bbox.left + bbox.width) continue;
    ctx.fillStyle = colour("shade");
    ctx.fillRect(from, bbox.top, Math.max(1, to - from), bbox.height);
  }
  ctx.restore();
}

function nameMarks(plot) {
  const { ctx, bbox } = plot, scale = devicePixelRatio;
  ctx.save();
  ctx.font = `${12 * scale}px system-ui, sans-serif`;
  ctx.fillStyle = colour("red");
  ctx.textAlign = "left";
  for (const [start, end, text] of DATA.marks.slice(0, 6)) {
    const from = Math.max(plot.valToPos(start, "x", true), bbox.left);
    if (plot.valToPos(end, "x", true) >= bbox.left && from < bbox.left + bbox.width) ctx.fillText(text, from + 5 * scale, bbox.top + bbox.height - 8 * scale);
  }
  ctx.restore();
}

function zoomTogether(plot, key) {
  if (key !== "x" || !plot.timed || plot.quiet) return;
  const { min, max } = plot.scales.x;
  zoomOthers(plot, min, max);
  one("#reset").hidden = min <= DATA.times[0] + 0.01 && max >= DATA.times.at(-1) - 0.01;
}

function zoomOthers(plot, min, max) {
  for (const other of plots) {
    if (other === plot || !other.timed) continue;
    other.quiet = true;
    other.setScale("x", { min, max });
    other.quiet = false;
  }
}

function draw(box, spec) {
  const timed = !spec.xs, xs = spec.xs || DATA.times;
  let raw = spec.series.map(line => line.v), drawn = raw;
  if (spec.stacked) { // painted from the top down, because the sums lie behind each other
    const sums = new Float64Array(xs.length);
    drawn = raw.map(values => values.map((value, at) => sums[at] += value || 0)).reverse();
    raw = [...raw].reverse();
    spec = { ...spec, series: [...spec.series].reverse() };
  }
  const plot = new uPlot({
    width: box.clientWidth || 600, height: spec.height, padding: [12, 8, 0, 0],
    cursor: { y: false, points: { size: 7 }, ...(timed ? { sync: { key: "time" }, drag: { x: true, y: false } } : {}) },
    scales: { x: { time: false, distr: timed ? 1 : 3 },
      y: { distr: spec.log ? 3 : 1, range: spec.log ? undefined : (_, __, high) => [0, spec.highest || Math.max(high * 1.06, 0.001)] } },
    axes: axesOf(spec, timed), series: seriesOf(spec, raw, timed),
    hooks: { drawClear: timed ? [shadeMarks] : [], draw: timed && box.dataset.plot === "throughput" ? [nameMarks] : [], setScale: [zoomTogether] },
  }, [xs, ...drawn], box);
  Object.assign(plot, { timed, spec });
  plots.push(plot);
  new ResizeObserver(() => { if (box.clientWidth && box.clientWidth !== plot.width) plot.setSize({ width: box.clientWidth, height: plot.height }); }).observe(box);
  paintLegend(plot);
  return plot;
}

function paintLegend(plot) {
  all(".u-legend .u-series", plot.root).forEach((row, at) => {
    const marker = one(".u-marker", row);
    if (!at || !marker) return;
    const own = colour(plot.spec.series[at - 1].c);
    marker.style.background = plot.spec.stacked ? mixed(own, colour("card"), Number(colour("mix"))) : own;
    marker.style.height = plot.spec.stacked ? "10px" : "";
  });
}

function byKeyboard(event, box) {
  const plot = box.plot, spec = box.spec, xs = spec.xs || DATA.times, last = xs.length - 1, page = Math.max(1, Math.round(xs.length / 20));
  const at = plot.cursor.idx ?? 0;
  const moves = { ArrowRight: at + 1, ArrowLeft: at - 1, PageDown: at + page, PageUp: at - page, Home: 0, End: last };
  if (event.key in moves) {
    const to = Math.min(last, Math.max(0, moves[event.key]));
    plot.setCursor({ left: plot.valToPos(xs[to], "x"), top: 10 });
    const where = plot.timed ? clock(xs[to]) : secondsText(xs[to]);
    live.textContent = where + ": " + spec.series.map(line => `${line.label} ${UNITS[spec.unit](line.v[to])}`).join(", ");
    event.preventDefault();
  } else if (plot.timed && (event.key === "+" || event.key === "-")) {
    const { min, max } = plot.scales.x, half = (max - min) * (event.key === "+" ? 0.25 : 1), middle = xs[at] ?? (min + max) / 2;
    plot.setScale("x", { min: Math.max(xs[0], middle - half), max: Math.min(xs[last], middle + half) });
  } else if (event.key === "Escape" || event.key === "0") {
    showAll();
  }
}

function showAll() {
  zoomOthers(null, DATA.times[0], DATA.times.at(-1));
  one("#reset").hidden = true;
}

function valuesAsTable(details, box) {
  const target = one(".scroll", details);
  if (!details.open || target.firstChild) return;
  const spec = box.spec, xs = spec.xs || DATA.times, step = Math.max(1, Math.ceil(xs.length / 200));
  const table = element("table", undefined, "data"), head = element("tr"), body = element("tbody");
  for (const [at, name] of [spec.xs ? "seconds" : "time", ...spec.series.map(line => line.label)].entries()) {
    const cell = element("th", name, at ? "r" : "");
    cell.scope = "col";
    head.append(cell);
  }
  for (let at = 0; at < xs.length; at += step) {
    const row = element("tr"), name = element("th", spec.xs ? secondsText(xs[at]) : clock(xs[at]));
    name.scope = "row";
    row.append(name, ...spec.series.map(line => element("td", UNITS[spec.unit](line.v[at]), "r")));
    body.append(row);
  }
  const top = element("thead");
  top.append(head);
  table.append(top, body);
  target.append(table);
}

for (const box of all("[data-plot]")) {
  box.spec = DATA.plots[box.dataset.plot];
  box.plot = draw(box, box.spec);
  box.addEventListener("keydown", event => byKeyboard(event, box));
  const details = one("details", box.closest("figure"));
  details.addEventListener("toggle", () => valuesAsTable(details, box));
}

for (const button of all("#latency-switch button")) {
  button.onclick = () => {
    for (const other of all("#latency-switch button")) other.setAttribute("aria-pressed", other === button);
    const box = one("[data-plot=latency]");
    plots.splice(plots.indexOf(box.plot), 1);
    box.plot.destroy();
    box.spec = DATA.plots[button.dataset.use];
    box.plot = draw(box, box.spec);
    one(".scroll", box.closest("figure")).replaceChildren();
  };
}

one("#reset").onclick = showAll;

// ---- light and dark -----------------------------------------------------------------------------------------------

function repaint() {
  for (const plot of plots) {
    plot.redraw(false, true);
    paintLegend(plot);
  }
}

for (const button of all("#theme button")) {
  button.onclick = () => {
    if (button.dataset.theme) document.documentElement.dataset.theme = button.dataset.theme;
    else delete document.documentElement.dataset.theme;
    for (const other of all("#theme button")) other.setAttribute("aria-pressed", other === button);
    repaint();
  };
}
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", repaint);

// ---- tables that are searched and sorted --------------------------------------------------------------------------

const SHOWN = 15; // rows in the page at once, however many there are

function searchable(box) {
  const table = DATA.tables[box.dataset.table], texts = DATA.texts;
  const rows = table.rows.map(row => row.map((cell, at) => table.columns[at].text ? texts[cell] : cell));
  const search = one("input", box), kinds = one("select", box), body = one("tbody", box), [before, after] = all(".pager button", box);
  let page = 0, by = table.by, down = table.down;

  const cellOf = (value, column, at) => {
    const shown = column.seconds ? secondsText(value) : typeof value === "number" ? value.toLocaleString("en") : value ?? "–";
    const cell = element("td", at === table.kind ? undefined : shown, (column.right ? "r" : "") + (column.text ? " wrap" : ""));
    if (at === table.kind) cell.append(element("span", shown, "kind"));
    return cell;
  };

  const show = () => {
    const wanted = search.value.toLowerCase(), kind = kinds ? kinds.value : "";
    const found = rows.filter(row => (!kind || row[table.kind] === kind) && (!wanted || row.join(" ").toLowerCase().includes(wanted)));
    found.sort((first, second) => {
      const a = first[by], b = second[by];
      const order = typeof a === "number" && typeof b === "number" ? a - b : String(a ?? "").localeCompare(String(b ?? ""), "en", { numeric: true });
      return down ? -order : order;
    });
    page = Math.min(page, Math.max(0, Math.ceil(found.length / SHOWN) - 1));
    const from = page * SHOWN, shown = found.slice(from, from + SHOWN);
    body.replaceChildren(...shown.map(row => {
      const line = element("tr");
      line.append(...row.map((value, at) => cellOf(value, table.columns[at], at)));
      return line;
    }));
    one(".n", box).textContent = found.length === rows.length ? `${rows.length} rows` : `${found.length} of ${rows.length} rows`;
    one(".pager span", box).textContent = found.length ? `${from + 1} to ${from + shown.length} of ${found.length}` : "no row matches";
    before.disabled = !page;
    after.disabled = from + SHOWN >= found.length;
    all("thead th", box).forEach((head, at) => at === by ? head.setAttribute("aria-sort", down ? "descending" : "ascending") : head.removeAttribute("aria-sort"));
  };

  const anew = () => { page = 0; show(); };
  search.oninput = anew;
  if (kinds) kinds.onchange = anew;
  before.onclick = () => { page--; show(); };
  after.onclick = () => { page++; show(); };
  all("thead button", box).forEach((button, at) => {
    button.onclick = () => { down = by === at ? !down : Boolean(table.columns[at].right); by = at; anew(); };
  });
  show();
}

all("[data-table]").forEach(searchable);
