// Draws the charts that the page carries as data; see report_charts.cc for what
// each field means. Labels reach the page only as Chart.js text on a canvas.
"use strict";
(() => {
  const specs = JSON.parse(document.getElementById("charts").textContent);
  const css = (name) =>
    getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const COLOURS = 8;
  const DASHES = [[], [7, 4], [2, 3], [10, 3, 2, 3], [14, 5], [4, 2, 1, 2]];
  const colour = (i) => css("--c" + (i % COLOURS));

  const whole = new Intl.NumberFormat("en-GB", { maximumFractionDigits: 0 });
  const short = new Intl.NumberFormat("en-GB", { maximumSignificantDigits: 4 });
  const formats = {
    number: (v) => short.format(v),
    count: (v) => whole.format(v),
    percent: (v) => (100 * v).toFixed(1) + " %",
    bytes: (v) => short.format(v / 1e6) + " MB",
  };

  // Lines across, for targets, and down, for events.
  const guides = {
    id: "guides",
    afterDatasetsDraw(chart, args, options) {
      const { ctx, chartArea: area, scales } = chart;
      ctx.save();
      ctx.setLineDash([4, 4]);
      ctx.strokeStyle = ctx.fillStyle = css("--soft");
      ctx.font = "12px " + Chart.defaults.font.family;
      const stroke = (x1, y1, x2, y2) => {
        ctx.beginPath();
        ctx.moveTo(x1, y1);
        ctx.lineTo(x2, y2);
        ctx.stroke();
      };
      for (const line of options.lines || []) {
        const y = scales.y.getPixelForValue(line.y);
        if (y < area.top || y > area.bottom) continue;
        stroke(area.left, y, area.right, y);
        ctx.textAlign = "left";
        ctx.fillText(line.label, area.left + 6, y - 5);
      }
      for (const mark of options.marks || []) {
        const x = scales.x.getPixelForValue(mark.x);
        if (x < area.left || x > area.right) continue;
        stroke(x, area.top, x, area.bottom);
        ctx.textAlign = "left";
        ctx.fillText(mark.label, x + 5, area.top + 14);
      }
      ctx.restore();
    },
  };

  const scale = (axis, grid) => {
    const format = formats[axis.format] || formats.number;
    const options = {
      title: { display: axis.title !== "", text: axis.title, color: css("--soft") },
      grid: { color: grid, borderColor: css("--line") },
      ticks: { color: css("--soft"), maxRotation: 0, autoSkipPadding: 12, includeBounds: false },
    };
    if (axis.categories) {
      options.type = "category";
      options.labels = axis.categories;
      options.offset = true;
      return options;
    }
    options.type = axis.log ? "logarithmic" : "linear";
    if (axis.min !== undefined) options.min = axis.min;
    if (axis.max !== undefined) options.max = axis.max;
    options.ticks.callback = (v) => {
      const mantissa = Math.round(v / 10 ** Math.floor(Math.log10(v)));
      if (axis.log && ![1, 2, 5].includes(mantissa)) return "";
      return format(v);
    };
    return options;
  };

  // A legend that shows a line as it is drawn, dashes and all.
  const keys = (chart) =>
    chart.data.datasets.map((set, i) => {
      const key = document.createElement("canvas");
      [key.width, key.height] = [34, 12];
      const ctx = key.getContext("2d");
      ctx.strokeStyle = set.borderColor;
      ctx.lineWidth = 2.5;
      ctx.setLineDash(set.borderDash || []);
      ctx.moveTo(0, 6);
      ctx.lineTo(34, 6);
      ctx.stroke();
      return { text: set.label, datasetIndex: i, pointStyle: key,
               fontColor: css("--ink"), hidden: !chart.isDatasetVisible(i) };
    });

  // Where equal values are usual, what lies below is wider, and shows.
  const datasets = (spec, worst) =>
    spec.series.map((series, i) => ({
      label: series.label,
      data: ((worst && series.worst) || series.points).map(([x, y]) => ({ x, y })),
      borderColor: colour(series.colour),
      backgroundColor: colour(series.colour),
      borderDash: DASHES[series.dash % DASHES.length],
      borderWidth: spec.overlaps ? 2 + 1.2 * i : 2,
      tension: 0,
      clip: spec.x.categories ? 12 : undefined,
      pointRadius: spec.x.categories ? 3.5 + 1.2 * i : 0,
      pointHoverRadius: 5,
      pointHitRadius: 8,
    }));

  const lineChart = (spec) => ({
    type: "line",
    data: { datasets: datasets(spec, false) },
    options: {
      scales: {
        x: scale(spec.x, "transparent"),
        y: { ...scale(spec.y, css("--grid")), beginAtZero: !!spec.x.categories && spec.y.format === "number" },
      },
      interaction: { mode: "nearest", intersect: false },
    },
  });

  const barChart = (spec) => {
    const data = spec.x.categories.map(() => null);
    for (const [i, y] of spec.series[0].points) data[i] = y;
    return {
      type: "bar",
      data: {
        labels: spec.x.categories,
        datasets: [{ data, backgroundColor: colour(spec.series[0].colour), maxBarThickness: 22 }],
      },
      options: {
        indexAxis: "y",
        scales: {
          x: { ...scale(spec.y, css("--grid")), beginAtZero: true },
          y: { grid: { display: false }, ticks: { color: css("--ink"), autoSkip: false } },
        },
      },
    };
  };

  const config = (spec) => {
    const made = spec.type === "bars" ? barChart(spec) : lineChart(spec);
    const value = formats[spec.y.format] || formats.number;
    const place = spec.x.categories ? null : formats[spec.x.format] || formats.number;
    made.plugins = [guides];
    Object.assign(made.options, {
      animation: false,
      maintainAspectRatio: false,
      parsing: made.type === "bar",
      plugins: {
        guides: { lines: spec.lines, marks: spec.marks },
        legend: {
          display: made.type === "line" && spec.series.length > 1,
          position: "bottom",
          labels: { color: css("--ink"), usePointStyle: true, pointStyleWidth: 38, padding: 14, generateLabels: keys },
        },
        tooltip: {
          callbacks: {
            title: (items) =>
              spec.x.categories ? spec.x.categories[items[0].parsed[made.type === "bar" ? "y" : "x"]]
                                : spec.x.title + ": " + place(items[0].parsed.x),
            label: (item) =>
              (item.dataset.label ? item.dataset.label + ": " : "") +
              value(item.parsed[made.type === "bar" ? "x" : "y"]),
          },
        },
      },
    });
    return made;
  };

  // Mean of the nodes, or the worst of them.
  const addSwitch = (canvas, spec, chart) => {
    const line = document.createElement("div");
    line.className = "switch";
    for (const [word, worst] of [["mean of nodes", false], ["worst node", true]]) {
      const label = document.createElement("label");
      const input = document.createElement("input");
      input.type = "radio";
      input.name = canvas.id + "-switch";
      input.checked = !worst;
      input.addEventListener("change", () => {
        chart().data.datasets = datasets(spec, worst);
        chart().update();
      });
      label.append(input, " " + word);
      line.append(label);
    }
    canvas.closest("figure").prepend(line);
  };

  Chart.defaults.font.family = getComputedStyle(document.body).fontFamily;
  Chart.defaults.font.size = 12.5;
  const drawn = {};
  const drawAll = () => {
    for (const [id, spec] of Object.entries(specs)) {
      if (drawn[id]) drawn[id].destroy();
      const canvas = document.getElementById(id);
      const height = spec.type === "bars" ? 70 + 26 * spec.x.categories.length
                                          : 360 + 6 * spec.series.length;
      canvas.parentElement.style.height = height + "px";
      drawn[id] = new Chart(canvas, config(spec));
    }
  };
  drawAll();
  for (const [id, spec] of Object.entries(specs))
    if (spec.series.some((s) => s.worst))
      addSwitch(document.getElementById(id), spec, () => drawn[id]);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
    document.querySelectorAll(".switch").forEach((s) => { s.querySelector("input").checked = true; });
    drawAll();
  });
  document.documentElement.dataset.drawn = Object.keys(drawn).length;  // for tests
})();
