// How our charts look: colours from the design system, axes, bands. The pages' own scripts say what is in them.
"use strict";
const IvizoneCharts = (() => {
  const HEIGHT = 260;
  const drawn = new Map();
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const language = document.documentElement.lang || "en";
  const whole = (value) => (value == null ? "–" : Math.round(value).toLocaleString("fr-FR"));

  function axes(bottom) {
    const style = { stroke: colour("--quiet"), grid: { stroke: colour("--line"), width: 1 }, ticks: { stroke: colour("--line"), width: 1 } };
    return [{ ...style, ...bottom }, { ...style, size: 56, values: (_, splits) => splits.map(whole), incrs: [1, 2, 5, 10, 20, 25, 50, 100, 200, 500, 1000, 2000, 5000, 10000] }];
  }

  // One metric as three series: low and high span the band, the value is drawn on it. `at` is the first series' number.
  function banded(columns, label, line, band, at, words, points) {
    const bound = { show: true, width: 0, points: { show: false } };
    const { value, low, high, note = [] } = columns;
    const text = (_, shown, __, place) => (place == null ? "" : value[place] == null ? note[place] || (high[place] != null ? "< 5" : "–")
      : `${whole(shown)} (${Math.floor(low[place])} ${words.to} ${Math.ceil(high[place])})`);
    return {
      columns: [low, high, value],
      series: [bound, bound, { label, stroke: colour(line), width: 2, points: { show: points, size: 5 }, value: text }],
      band: { series: [at + 1, at], fill: colour(band) },
    };
  }

  // Stretches of which nothing is told, from top to bottom: no band could say how high it is. `slope` is 1 or -1, so that two metrics can lie over each other.
  function hatched(stretches, line, slope) {
    return (chart) => {
      const { ctx, bbox: { top, height } } = chart;
      const gap = 8 * devicePixelRatio;
      ctx.save();
      ctx.strokeStyle = colour(line);
      ctx.globalAlpha = 0.3;
      ctx.lineWidth = devicePixelRatio;
      for (const [from, to] of stretches) {
        const left = chart.valToPos(from, "x", true);
        const width = chart.valToPos(to, "x", true) - left;
        ctx.save();
        ctx.beginPath();
        ctx.rect(left, top, width, height);
        ctx.clip();
        ctx.beginPath();
        for (let at = -height - (left % gap); at < width + height; at += gap) {
          ctx.moveTo(left + at, slope > 0 ? top + height : top);
          ctx.lineTo(left + at + height, slope > 0 ? top : top + height);
        }
        ctx.stroke();
        ctx.restore();
      }
      ctx.restore();
    };
  }

  function draw(box, options, columns) {
    drawn.get(box)?.destroy();
    const chart = new uPlot({ width: box.clientWidth, height: HEIGHT, cursor: { y: false }, ...options }, columns, box);
    // The band's edges need no line in the legend.
    chart.root.querySelectorAll(".u-legend .u-series").forEach((row, at) => {
      if (at > 0 && !options.series[at].label) row.remove();
    });
    drawn.set(box, chart);
    performance.mark("ivizone-chart");
  }

  addEventListener("resize", () => drawn.forEach((chart, box) => chart.setSize({ width: box.clientWidth, height: HEIGHT })));
  return { axes, banded, hatched, draw, colour, whole, language };
})();
