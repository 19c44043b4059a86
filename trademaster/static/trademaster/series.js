// How the value went through the day: one point a minute, and a gap where nobody knew it. A few lines of SVG.

const MINUTE = 60_000;
const SVG = "http://www.w3.org/2000/svg";
const WIDTH = 240;
const HEIGHT = 36;
const EDGE = 2;

/** The series with the value of the minute in which `at` lies; the latest word within a minute counts. */
export function noted(series, at, value) {
  const opens = Date.parse(series.opens_at);
  const minute = Math.floor((Date.parse(at) - opens) / MINUTE);
  if (minute < 0 || Date.parse(at) >= Date.parse(series.closes_at)) return series;
  const points = series.points.slice();
  while (points.length <= minute) points.push({ at: new Date(opens + points.length * MINUTE).toISOString(), value: null });
  points[minute] = { ...points[minute], value };
  return { ...series, points };
}

/** Runs of neighbouring minutes whose value is known, as [x, y] in the picture; `gaps` are [from x, to x] between them. */
export function drawn({ opens_at, closes_at, points }) {
  const [opens, closes] = [Date.parse(opens_at), Date.parse(closes_at)];
  const values = points.filter(({ value }) => value !== null).map(({ value }) => Number(value)); // for pixels alone
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const x = (at) => EDGE + ((Date.parse(at) - opens) / (closes - opens)) * (WIDTH - 2 * EDGE);
  const y = (value) => (high === low ? HEIGHT / 2 : EDGE + ((high - value) / (high - low)) * (HEIGHT - 4 * EDGE));
  const runs = [];
  let open = false;
  for (const { at, value } of points) {
    if (value !== null) {
      if (!open) runs.push([]);
      runs.at(-1).push([x(at), y(Number(value))]);
    }
    open = value !== null;
  }
  const gaps = runs.slice(1).map((run, index) => [runs[index].at(-1)[0], run[0][0]]);
  if (points.length && !open) gaps.push([runs.length ? runs.at(-1).at(-1)[0] : x(points[0].at), x(points.at(-1).at)]);
  return { runs, gaps, low, high };
}

/** Draw into an <svg>; without a known value it is empty, and takes its room all the same. */
export function renderSeries(svg, series, words) {
  const { runs, gaps } = series ? drawn(series) : { runs: [], gaps: [] };
  svg.setAttribute("viewBox", `0 0 ${WIDTH} ${HEIGHT}`);
  svg.setAttribute("aria-label", words);
  const flat = (kind, from, to) => shape("line", { class: kind, x1: from, x2: to, y1: HEIGHT - EDGE, y2: HEIGHT - EDGE });
  const shapes = [
    ...(series ? [flat("day", EDGE, WIDTH - EDGE)] : []),
    ...gaps.map(([from, to]) => flat("gap", from, to)),
    // A minute between two gaps is a dot: a line of no length with round ends.
    ...runs.map((run) => shape("polyline", { points: (run.length > 1 ? run : [run[0], run[0]]).map((pair) => pair.map((at) => at.toFixed(1)).join()).join(" ") })),
  ];
  svg.replaceChildren(...shapes);
}

function shape(name, attributes) {
  const node = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  return node;
}
