// Charts of one day, and their refresh. Without this file the figures and the table are there all the same.
"use strict";
(() => {
  const NARROW = 560;
  const { axes, banded, hatched, draw, colour, whole } = IvizoneCharts;
  const page = document.getElementById("day");
  const words = JSON.parse(page.dataset.words);
  const boxes = [...document.querySelectorAll("[data-chart]")];
  let data = JSON.parse(page.dataset.figures);

  const part = (name) => {
    const url = new URL(location.href);
    url.pathname = `${url.pathname.replace(/\/$/, "")}/${name}`;
    return url;
  };

  function timeAxis() {
    const format = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", timeZone: data.time_zone });
    return (seconds) => format.format(new Date(seconds * 1000));
  }

  // A quarter-hour, or an hour where few come, is a level stretch: its value stands at its first and at its last second, so that one beside a gap is seen too.
  const twice = (column) => column.flatMap((item) => [item, item]);
  const edges = (starts) => starts.flatMap((start) => [start, start + data.step_s - 1]);
  const beginOf = (seconds) => data.starts_s.filter((start) => start <= seconds).at(-1) ?? seconds;

  const untold = ({ high, note }) => data.starts_s.filter((_, at) => note[at] && high[at] == null).map((start) => [start, start + data.step_s - 1]);

  function quarters(metrics) {
    const time = timeAxis();
    const parts = metrics.map(([metric, label, line, band], at) => {
      const series = data.series[metric];
      return banded({ value: twice(series.value), low: twice(series.low), high: twice(series.high), note: twice(series.note) }, label, line, band, 1 + 3 * at, words, false);
    });
    return [{
      axes: axes({ values: (_, splits) => splits.map(time), space: 56 }),
      scales: { y: { range: (_, __, most) => [0, Math.max(5, most * 1.08)] } },
      series: [{ label: words.from, value: (_, seconds) => (seconds == null ? words.hint : time(beginOf(seconds))) }, ...parts.flatMap((made) => made.series)],
      bands: parts.map((made) => made.band),
      hooks: { draw: metrics.map(([metric, , line], at) => hatched(untold(data.series[metric]), line, at % 2 ? 1 : -1)) },
    }, [edges(data.starts_s), ...parts.flatMap((made) => made.columns)]];
  }

  function dwell(box) {
    const labels = data.dwell.map((bucket) => bucket.label);
    const ticks = box.clientWidth < NARROW ? labels.map((label) => label.replace(/–.*/, "–")) : labels;
    return [{
      axes: axes({ values: (_, splits) => splits.map((at) => ticks[at] ?? ""), splits: () => labels.map((_, at) => at), grid: { show: false } }),
      scales: { x: { time: false, range: () => [-0.6, labels.length - 0.4] }, y: { range: (_, __, most) => [0, Math.max(5, most * 1.08)] } },
      series: [
        { label: words.minutes, value: (_, at) => at == null ? words.hint : labels[at] ?? "" },
        { label: words.visits, fill: colour("--accent"), stroke: colour("--accent"), width: 0, paths: uPlot.paths.bars({ size: [0.7, 90] }),
          points: { show: false }, value: (_, visits, __, at) => (at == null ? "" : visits == null ? data.left_out : whole(visits)) },
      ],
    }, [labels.map((_, at) => at), data.dwell.map((bucket) => bucket.visits)]];
  }

  const KINDS = {
    occupancy: () => quarters([["occupancy", words.inside, "--accent", "--accent-band"]]),
    arrivals: () => quarters([["passers_by", words.passing, "--second", "--second-band"], ["visitors", words.coming, "--accent", "--accent-band"]]),
    heard: () => quarters([["heard_outside", words.outside, "--second", "--second-band"], ["heard_inside", words.inside, "--accent", "--accent-band"]]),
    dwell,
  };
  const drawAll = () => boxes.forEach((box) => draw(box, ...KINDS[box.dataset.chart](box)));

  function cell(row, text, kind) {
    const made = document.createElement(kind);
    made.textContent = text;
    if (kind === "th") made.scope = "row";
    row.append(made);
  }

  function fill(body, rows) {
    body?.replaceChildren(...rows.map(([first, ...rest]) => {
      const row = document.createElement("tr");
      cell(row, first, "th");
      rest.forEach((text) => cell(row, text, "td"));
      return row;
    }));
  }

  function write() {
    for (const tile of document.querySelectorAll("[data-metric]")) {
      const shown = data.tiles[tile.dataset.metric];
      for (const piece of tile.querySelectorAll("[data-part]")) piece.textContent = shown ? shown[piece.dataset.part] : "";
    }
    fill(document.querySelector("[data-quarters] tbody"), data.table.map((row) => [row.time, ...row.cells]));
    fill(document.querySelector("[data-ledger]"), data.ledger.map((row) => [row.agent, row.frames, row.probe_requests, row.skipped, row.lost, row.until]));
  }

  async function refresh() {
    const answer = await fetch(part("figures.json"), { cache: "no-store" });
    if (answer.redirected) return location.reload(); // the session is over
    if (answer.status !== 200) return;
    const before = data.step_s;
    data = await answer.json();
    if (data.state !== page.dataset.state || data.step_s !== before) return location.reload(); // the words are others
    write();
    drawAll();
  }

  function listen() {
    const label = document.querySelector("[data-live]");
    const live = label?.textContent;
    const source = new EventSource(part("events"));
    source.addEventListener("changed", (event) => {
      if (event.data !== page.dataset.version) refresh().then(() => { page.dataset.version = event.data; }, () => {});
    });
    const say = (isLost) => {
      if (!label) return;
      label.textContent = isLost ? label.dataset.lost : live;
      label.classList.toggle("lost", isLost);
    };
    source.addEventListener("open", () => say(false));
    source.addEventListener("error", () => say(source.readyState !== EventSource.OPEN));
  }

  document.querySelectorAll(".controls input, .controls select[name]").forEach((field) => field.addEventListener("change", () => field.form.requestSubmit()));
  document.querySelector("[data-store]")?.addEventListener("change", (event) => {
    event.target.form.action = event.target.dataset.store + event.target.value;
    event.target.form.requestSubmit();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
  drawAll();
  if ("isLive" in page.dataset || page.dataset.state !== "heard") listen();
})();
