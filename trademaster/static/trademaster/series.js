// How the value went through the day: one point a minute, and a gap where nobody knew it. Pure.

export const MINUTE = 60_000;

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

export const knownOf = (series) => series?.points.filter(({ value }) => value !== null) ?? [];

/** Runs of neighbouring minutes whose value is known. */
export const runsOf = ({ points }) => spansOf(points, ({ value }) => value !== null);

/** [first, last] of each run of minutes without a value, from the first known one on: before that nobody looked. */
export function gapsOf({ points }) {
  const first = points.findIndex(({ value }) => value !== null);
  if (first < 0) return [];
  return spansOf(points.slice(first), ({ value }) => value === null).map((run) => [run[0], run.at(-1)]);
}

function spansOf(points, belongs) {
  const spans = [];
  let isOpen = false;
  for (const point of points) {
    if (belongs(point)) {
      if (!isOpen) spans.push([]);
      spans.at(-1).push(point);
    }
    isOpen = belongs(point);
  }
  return spans;
}
