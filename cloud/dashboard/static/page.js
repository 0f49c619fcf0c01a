// Charts of one day, and their refresh. Without this file the figures and the table are there all the same.
"use strict";
(() => {
  const REFRESH_MS = 2000;
  const HEIGHT = 260;
  const NARROW = 560;
  const HINT = "point at the chart";
  const QUARTER_S = 900;
  const address = (() => {
    const url = new URL(location.href);
    url.pathname = url.pathname.replace(/\/$/, "") + "/figures.json";
    return url;
  })();
  const boxes = [...document.querySelectorAll("[data-chart]")];
  const charts = new Map();
  let data = null;
  let etag = "";

  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const whole = (value) => (value == null ? "–" : String(Math.round(value)));

  function timeAxis() {
    const format = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", timeZone: data.time_zone });
    return (seconds) => format.format(new Date(seconds * 1000));
  }

  function axes(bottom) {
    const style = { stroke: colour("--quiet"), grid: { stroke: colour("--line"), width: 1 }, ticks: { stroke: colour("--line"), width: 1 } };
    return [{ ...style, ...bottom }, { ...style, size: 44, incrs: [1, 2, 5, 10, 20, 25, 50, 100, 200, 500, 1000, 2000, 5000] }];
  }

  // A quarter-hour is a level stretch: its value stands at its first and at its last second, so that one beside a gap is seen too.
  const twice = (column) => column.flatMap((item) => [item, item]);
  const edges = (starts) => starts.flatMap((start) => [start, start + QUARTER_S - 1]);
  const quarterOf = (seconds) => seconds - (seconds % QUARTER_S);

  // One metric as three series: low and high span the band, the value is drawn on it.
  function banded(metric, label, line, band, first) {
    const bound = { show: true, width: 0, points: { show: false } };
    const [value, low, high] = ["value", "low", "high"].map((name) => twice(data.series[metric][name]));
    const text = (_, shown, __, at) => (at == null ? "" : value[at] == null ? (high[at] != null ? "< 5" : "–")
      : `${whole(shown)} (${Math.floor(low[at])} to ${Math.ceil(high[at])})`);
    return {
      columns: [low, high, value],
      series: [bound, bound, { label, stroke: line, width: 2, points: { show: false }, value: text }],
      band: { series: [first + 1, first], fill: band },
    };
  }

  function bandedChart(metrics) {
    const time = timeAxis();
    const parts = metrics.map(([metric, label, line, band], at) => banded(metric, label, colour(line), colour(band), 1 + 3 * at));
    return {
      options: {
        axes: axes({ values: (_, splits) => splits.map(time), space: 56 }),
        scales: { y: { range: (_, __, most) => [0, Math.max(5, most * 1.08)] } },
        series: [{ label: "From", value: (_, seconds) => (seconds == null ? HINT : time(quarterOf(seconds))) }, ...parts.flatMap((part) => part.series)],
        bands: parts.map((part) => part.band),
      },
      columns: [edges(data.starts_s), ...parts.flatMap((part) => part.columns)],
    };
  }

  function dwellChart(box) {
    const labels = data.dwell.map((bucket) => bucket.label);
    const ticks = box.clientWidth < NARROW ? labels.map((label) => label.replace(/–.*/, "–")) : labels;
    return {
      options: {
        axes: axes({ values: (_, splits) => splits.map((at) => ticks[at] ?? ""), splits: () => labels.map((_, at) => at), grid: { show: false } }),
        scales: { x: { time: false, range: () => [-0.6, labels.length - 0.4] }, y: { range: (_, __, most) => [0, Math.max(5, most * 1.08)] } },
        series: [
          { label: "Minutes", value: (_, at) => at == null ? HINT : labels[at] ?? "" },
          { label: "Visits", fill: colour("--accent"), stroke: colour("--accent"), width: 0, paths: uPlot.paths.bars({ size: [0.7, 90] }),
            points: { show: false }, value: (_, visits, __, at) => (at == null ? "" : visits == null ? "< 5" : whole(visits)) },
        ],
      },
      columns: [labels.map((_, at) => at), data.dwell.map((bucket) => bucket.visits)],
    };
  }

  const KINDS = {
    occupancy: () => bandedChart([["occupancy", "Inside", "--accent", "--accent-band"]]),
    arrivals: () => bandedChart([["passers_by", "Passing by", "--second", "--second-band"], ["visitors", "Coming in", "--accent", "--accent-band"]]),
    heard: () => bandedChart([["heard_outside", "Outside", "--second", "--second-band"], ["heard_inside", "Inside", "--accent", "--accent-band"]]),
    dwell: dwellChart,
  };

  function draw() {
    for (const box of boxes) {
      const { options, columns } = KINDS[box.dataset.chart](box);
      charts.get(box)?.destroy();
      const chart = new uPlot({ width: box.clientWidth, height: HEIGHT, cursor: { y: false }, ...options }, columns, box);
      // The band's edges need no line in the legend.
      chart.root.querySelectorAll(".u-legend .u-series").forEach((row, at) => {
        if (at > 0 && !options.series[at].label) row.remove();
      });
      charts.set(box, chart);
    }
  }

  function cell(row, text, kind) {
    const made = document.createElement(kind);
    made.textContent = text;
    row.append(made);
  }

  function fill(body, rows) {
    body.replaceChildren(...rows.map(([first, ...rest]) => {
      const row = document.createElement("tr");
      cell(row, first, "th");
      rest.forEach((text) => cell(row, text, "td"));
      return row;
    }));
  }

  function write() {
    for (const tile of document.querySelectorAll("[data-metric]")) {
      const shown = data.tiles[tile.dataset.metric];
      for (const part of tile.querySelectorAll("[data-part]")) part.textContent = shown ? shown[part.dataset.part] : "";
    }
    const table = document.querySelector("section.card table tbody");
    if (table) fill(table, data.table.map((row) => [row.time, ...row.cells]));
    const ledger = document.querySelector("[data-ledger]");
    if (ledger) fill(ledger, data.ledger.map((row) => [row.agent, row.frames, row.probe_requests, row.skipped, row.lost, row.until]));
  }

  async function refresh() {
    try {
      const answer = await fetch(address, { headers: etag ? { "If-None-Match": etag } : {}, cache: "no-store" });
      if (answer.status === 200) {
        const before = data?.state;
        data = await answer.json();
        etag = answer.headers.get("ETag") ?? "";
        if (data.state === "heard" && boxes.length === 0) return location.reload();
        if (before !== undefined) write();
        draw();
      }
    } catch {
      // The server is away for a moment: what is shown stays, the next turn asks again.
    }
    setTimeout(refresh, document.hidden ? 10 * REFRESH_MS : REFRESH_MS);
  }

  document.querySelectorAll(".controls input, .controls select").forEach((field) => field.addEventListener("change", () => field.form.requestSubmit()));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => data && draw());
  addEventListener("resize", () => charts.forEach((chart, box) => chart.setSize({ width: box.clientWidth, height: HEIGHT })));
  refresh();
})();
