"use strict";
// Sorting and the interactive charts. Without this file the page still shows everything.
(() => {
  document.documentElement.classList.add("with-js");

  // A table whose column names are buttons.
  const sortable = (table) => {
    const heads = [...table.tHead.rows[0].cells];
    heads.forEach((head, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = head.textContent;
      head.replaceChildren(button);
      head.setAttribute("aria-sort", "none");
      button.addEventListener("click", () => {
        const down = head.getAttribute("aria-sort") === "ascending";
        heads.forEach((other) => other.setAttribute("aria-sort", "none"));
        head.setAttribute("aria-sort", down ? "descending" : "ascending");
        sort(table.tBodies[0], column, down ? -1 : 1);
      });
    });
  };

  const sort = (body, column, direction) => {
    const key = (row) => {
      const cell = row.cells[column];
      return "number" in cell.dataset ? Number(cell.dataset.number) : cell.textContent;
    };
    const compare = (a, b) => {
      const [x, y] = [key(a), key(b)];
      if (x === "" || y === "") return (x === "") - (y === ""); // blanks stay last
      if (typeof x === "number" && typeof y === "number") return direction * (x - y);
      return direction * String(x).localeCompare(String(y), "en", { numeric: true });
    };
    body.append(...[...body.rows].sort(compare));
  };

  // A chart that is built when it is first opened.
  const explore = (place) => {
    const chart = JSON.parse(document.getElementById(place.dataset.chart).textContent);
    const panel = element("div", { hidden: true });
    const opener = button("Explore the curves", "aria-expanded", () => {
      panel.hidden = !panel.hidden;
      opener.setAttribute("aria-expanded", String(!panel.hidden));
      if (!panel.hidden && !panel.hasChildNodes()) fill(panel, chart);
    });
    place.append(opener, panel);
  };

  const fill = (panel, chart) => {
    const state = { logX: chart.logX, logY: chart.logY, picked: null };
    const plot = element("div", { className: "plot" });
    plot.setAttribute("role", "img");
    plot.setAttribute("aria-label", `${chart.y} by ${chart.x}; the buttons below highlight a curve`);
    const readout = element("p", { className: "readout", textContent: "Point at a curve, or choose one below." });
    const tools = element("div", {});
    for (const [key, name] of [["logX", "Log x axis"], ["logY", "Log y axis"]]) {
      const toggle = button(name, "aria-pressed", () => {
        state[key] = !state[key];
        toggle.setAttribute("aria-pressed", String(state[key]));
        draw();
      }, state[key]);
      tools.append(toggle);
    }
    const names = element("div", {});
    const pickers = chart.labels.map((label, k) => {
      const picker = button(label, "aria-pressed", () => pick(state.picked === k ? null : k));
      names.append(picker);
      return picker;
    });
    let made = null;
    const pick = (k) => {
      state.picked = k;
      pickers.forEach((picker, n) => picker.setAttribute("aria-pressed", String(n === k)));
      if (k === null) readout.textContent = "Point at a curve, or choose one below.";
      else tell(k, lastKnown(chart.data[k + 1]));
      draw();
    };
    const tell = (k, at) => {
      const [x, y] = [chart.data[0][at], chart.data[k + 1][at]];
      readout.textContent = `${chart.labels[k]} (${chart.x} ${short(x)}, ${chart.y} ${short(y)})`;
    };
    const draw = () => {
      if (made) made.destroy();
      made = build(plot, chart, state, tell);
    };
    panel.append(tools, readout, plot, names);
    draw();
    new ResizeObserver(() => made.setSize(size(plot))).observe(plot);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  };

  const build = (plot, chart, state, tell) => {
    const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
    const axis = (label) => ({
      label, stroke: color("--ink"), grid: { stroke: color("--line"), width: 1 },
      ticks: { stroke: color("--line"), width: 1 }, values: (_, ticks) => ticks.map(short),
    });
    const lines = chart.labels.map((label, k) => {
      const strong = state.picked === null ? chart.chosen[k] : state.picked === k;
      return {
        label, spanGaps: true, stroke: color(strong ? "--blue" : "--soft"), width: strong ? 2.5 : 1,
        alpha: state.picked !== null && !strong ? 0.3 : 1, points: { show: false },
      };
    });
    const positive = (values, log) => (log ? values.map((v) => (v > 0 ? v : null)) : values);
    const order = chart.labels.map((_, k) => k).sort((a, b) => (lines[a].width > lines[b].width) - (lines[b].width > lines[a].width));
    const keep = chart.data[0].map((x) => !state.logX || x > 0);
    const data = [chart.data[0], ...order.map((k) => positive(chart.data[k + 1], state.logY))].map((own) => own.filter((_, n) => keep[n]));
    const kept = chart.data[0].map((_, n) => n).filter((n) => keep[n]);
    return new uPlot({
      ...size(plot),
      scales: { x: { time: false, distr: state.logX ? 3 : 1 }, y: { distr: state.logY ? 3 : 1, range: range(chart, state.logY) } },
      axes: [axis(chart.x), { ...axis(chart.y), size: 64 }],
      series: [{}, ...order.map((k) => lines[k])],
      legend: { show: false },
      cursor: { focus: { prox: 24 }, hover: { skip: [null, undefined] }, drag: { x: true, y: false } },
      focus: { alpha: 0.25 },
      hooks: {
        setSeries: [(u, k) => {
          if (k !== null && k > 0 && u.cursor.idxs[k] != null) tell(order[k - 1], kept[u.cursor.idxs[k]]);
        }],
        setCursor: [(u) => {
          const k = u.series.findIndex((own, n) => n > 0 && own._focus);
          if (k > 0 && u.cursor.idxs[k] != null) tell(order[k - 1], kept[u.cursor.idxs[k]]);
        }],
      },
    }, data, plot);
  };

  // Without what diverged: it would squeeze the rest.
  const range = (chart, log) => (u, low, high) => {
    if (low === null || high === null) return [0, 1];
    const [least, most] = chart.limits ?? [low, high];
    if (log) return uPlot.rangeLog(Math.max(low, least > 0 ? least : low), Math.min(high, most > 0 ? most : high), 10, false);
    return uPlot.rangeNum(Math.max(low, least), Math.min(high, most), 0.05, false);
  };
  const size = (plot) => ({ width: Math.max(200, plot.clientWidth), height: 320 });
  const lastKnown = (values) => values.findLastIndex((v) => v !== null);
  const short = (v) => (v === null || v === undefined ? "" : String(Number(v.toPrecision(4))));
  const element = (tag, properties) => Object.assign(document.createElement(tag), properties);
  const button = (text, state, act, on = false) => {
    const made = element("button", { type: "button", textContent: text });
    made.setAttribute(state, String(on));
    made.addEventListener("click", act);
    return made;
  };

  document.querySelectorAll("table.sortable").forEach(sortable);
  document.querySelectorAll(".explore").forEach(explore);
  // Closed details would be missing from paper.
  addEventListener("beforeprint", () => document.querySelectorAll("details").forEach((own) => (own.open = true)));
})();
