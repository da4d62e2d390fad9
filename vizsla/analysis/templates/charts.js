"use strict";
/* Draws each figure of the page in the page's own colours, again when these change, and narrower for paper.
   What is folded away has no width yet: it is drawn when it is opened, or printed. */
(() => {
  const PAPER_WIDTH = 660;
  const root = document.documentElement;
  const plots = [...document.querySelectorAll("figure.chart")].map((figure) => ({
    box: figure.querySelector(".plot"),
    spec: JSON.parse(figure.querySelector("script").textContent),
  }));

  const colour = (name) => getComputedStyle(root).getPropertyValue(name).trim();

  const theme = (axes) => {
    const looks = {
      "font.color": colour("--soft"),
      "hoverlabel.bgcolor": colour("--paper"),
      "hoverlabel.bordercolor": colour("--rule"),
      "hoverlabel.font.color": colour("--ink"),
      "modebar.color": colour("--soft"),
      "modebar.activecolor": colour("--accent"),
      "modebar.bgcolor": "rgba(0,0,0,0)",
    };
    for (const axis of axes) {
      looks[`${axis}.gridcolor`] = looks[`${axis}.linecolor`] = colour("--rule");
    }
    return looks;
  };

  const put = (target, path, value) => {
    const keys = path.split(".");
    const last = keys.pop();
    keys.reduce((place, key) => (place[key] ??= {}), target)[last] = value;
  };

  const axesOf = ({ spec }) => Object.keys(spec.layout).filter((name) => /^[xy]axis\d*$/.test(name));

  const folded = ({ box }) => box.closest("details:not([open])") !== null;

  const draw = (plot) => {
    const { box, spec } = plot;
    plot.drawn = true;
    const layout = structuredClone(spec.layout);
    Object.entries(theme(axesOf(plot))).forEach(([path, value]) => put(layout, path, value));
    Plotly.newPlot(box, spec.data, layout, {
      responsive: true,
      displaylogo: false,
      modeBarButtons: [["toImage", "zoom2d", "pan2d", "resetScale2d"]], // named, for some of the others leave the page
    });
  };

  const drawVisible = () => plots.filter((plot) => !plot.drawn && !folded(plot)).forEach(draw);

  const repaint = (size) =>
    plots.filter(({ drawn }) => drawn).forEach((plot) => Plotly.relayout(plot.box, { ...theme(axesOf(plot)), ...size }));

  drawVisible();
  addEventListener("toggle", drawVisible, true); // it does not bubble
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => repaint({}));
  addEventListener("beforeprint", () => {
    root.classList.add("print");
    document.querySelectorAll("details.rule").forEach((rule) => (rule.open = true));
    drawVisible();
    repaint({ width: PAPER_WIDTH, autosize: false });
  });
  addEventListener("afterprint", () => {
    root.classList.remove("print");
    repaint({ width: null, autosize: true });
  });
})();
