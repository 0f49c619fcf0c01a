// The trend over days. Without this file the weeks stand in the table.
"use strict";
(() => {
  const { axes, banded, draw, language } = IvizoneCharts;
  const page = document.getElementById("weeks");
  document.querySelectorAll(".controls input, .controls select").forEach((field) => field.addEventListener("change", () => field.form.requestSubmit()));
  if (!page) return;
  const words = JSON.parse(page.dataset.words);
  const data = JSON.parse(page.dataset.figures);
  const box = document.querySelector("[data-chart]");
  // Noon UTC, shown in UTC: a date is a date wherever the reader is.
  const noon = data.dates.map((date) => Date.parse(`${date}T12:00:00Z`) / 1000);
  const short = new Intl.DateTimeFormat(language, { day: "numeric", month: "short", timeZone: "UTC" });
  const long = new Intl.DateTimeFormat(language, { weekday: "short", day: "numeric", month: "short", timeZone: "UTC" });

  function trend() {
    const parts = [["passers_by", "--second", "--second-band"], ["visitors", "--accent", "--accent-band"]].map(([metric, line, band], at) =>
      banded(data.series[metric], words[metric], line, band, 1 + 3 * at, words, data.dates.length < 60));
    draw(box, {
      tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), "UTC"),
      axes: axes({ values: (_, splits) => splits.map((seconds) => short.format(new Date(seconds * 1000))), space: 64, incrs: [1, 2, 3, 7, 14, 28, 91].map((days) => days * 86400) }),
      scales: { y: { range: (_, __, most) => [0, Math.max(5, most * 1.08)] } },
      series: [{ label: words.day, value: (_, seconds) => (seconds == null ? words.hint : long.format(new Date(seconds * 1000))) }, ...parts.flatMap((made) => made.series)],
      bands: parts.map((made) => made.band),
    }, [noon, ...parts.flatMap((made) => made.columns)]);
  }
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", trend);
  trend();
})();
