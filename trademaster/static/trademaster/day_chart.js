// The day's value as an area, by Lightweight Charts: nothing is drawn over minutes that nobody knew.

import { MINUTE, gapsOf, runsOf } from "./series.js";

const HALF_HOUR = 30 * MINUTE;
const LONG_DAY = 16 * HALF_HOUR;
// The library knows UTC alone: its times are IST written as if they were UTC, so that full hours are India's.
const IST_SECONDS = 5.5 * 3600;
// Below the foot of a band, whose scale goes from 0 to 1.
const UNSEEN = -1;
const root = document.documentElement;

const timeOf = (at) => Math.floor((typeof at === "number" ? at : Date.parse(at)) / 1000) + IST_SECONDS;
const hourMinute = (time) => new Date(time * 1000).toISOString().slice(11, 16);

/** A custom property as the library can read it: resolved, as rgb(). */
function colour(name, opacity = 1) {
  const probe = document.body.appendChild(document.createElement("i"));
  probe.style.color = `var(${name})`;
  const [red, green, blue] = getComputedStyle(probe).color.match(/[\d.]+/g);
  probe.remove();
  return `rgba(${red}, ${green}, ${blue}, ${opacity})`;
}

/** Short, for the axis: 2336100 → 23.361 L. `step` is how far apart what is shown may be. */
export function shortAmount(value, step) {
  const [unit, word] = value >= 1e7 ? [1e7, " Cr"] : value >= 1e5 ? [1e5, " L"] : value >= 1e3 ? [1e3, " k"] : [1, ""];
  const places = Math.min(4, Math.max(0, Math.ceil(-Math.log10(step / unit))));
  return `${(value / unit).toFixed(places)}${word}`;
}

const filled = (paint) => ({ topColor: paint, bottomColor: paint });

/** The minutes of the axis: the whole day; of one that is longer than an exchange's, such as a simulated one, what is
 * known of it and some room to go on. */
export function minutesOf({ opens_at: opens, closes_at: closes, points }, runs) {
  let [from, until] = [Date.parse(opens), Date.parse(closes)];
  if (until - from > LONG_DAY && runs.length) {
    from = Date.parse(runs[0][0].at);
    const last = Date.parse(points.at(-1).at);
    until = Math.min(until, last + Math.max((last - from) / 5, HALF_HOUR));
  }
  return Array.from({ length: Math.ceil((until - from) / MINUTE) }, (_, minute) => from + minute * MINUTE);
}

export class DayChart {
  #library;
  #onHover;
  #chart;
  #frame; // every minute of the day, shaded where nobody knew it
  #marks; // at the foot, where a broker was silent
  #runs = [];
  #shape = "";
  #points = new Map();
  #range = [0, 0];
  #previous = null;
  #line = null;

  constructor(box, library, { onHover }) {
    this.#library = library;
    this.#onHover = onHover;
    this.#chart = library.createChart(box, {
      autoSize: true,
      handleScroll: false,
      handleScale: false,
      layout: { fontSize: 11, background: { type: "solid", color: "transparent" } },
      grid: { vertLines: { visible: false } },
      rightPriceScale: { borderVisible: false, entireTextOnly: true, scaleMargins: { top: 0.12, bottom: 0.08 } },
      timeScale: {
        borderVisible: false, fixLeftEdge: true, fixRightEdge: true, lockVisibleTimeRangeOnResize: true, minBarSpacing: 0.01, timeVisible: true,
        tickMarkFormatter: hourMinute,
      },
      crosshair: { horzLine: { visible: false, labelVisible: false }, vertLine: { labelVisible: false } },
      localization: { timeFormatter: hourMinute, priceFormatter: (price) => shortAmount(price, Math.max((this.#range[1] - this.#range[0]) / 4, 0.01)) },
    });
    this.#frame = this.#band("gaps", { top: 0, bottom: 0 });
    this.#marks = this.#band("silences", { top: 0.94, bottom: 0 });
    this.#chart.subscribeCrosshairMove(({ time }) => this.#onHover(this.#points.get(time) ?? null));
    this.#dress();
    new MutationObserver(() => this.#dress()).observe(root, { attributes: true, attributeFilter: ["data-theme", "data-private"] });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.#dress());
  }

  /** Steps between 0 and 1, filled: one shape, however many minutes share a pixel. */
  #band(name, scaleMargins) {
    const series = this.#chart.addAreaSeries({
      priceScaleId: name, lineType: this.#library.LineType.WithSteps, lineVisible: false, lastValueVisible: false, priceLineVisible: false,
      crosshairMarkerVisible: false, autoscaleInfoProvider: () => ({ priceRange: { minValue: 0, maxValue: 1 } }),
    });
    this.#chart.priceScale(name).applyOptions({ scaleMargins });
    return series;
  }

  /** Colours anew: another theme, or amounts that are hidden. */
  #dress() {
    const [quiet, line] = [colour("--quiet"), colour("--line")];
    this.#chart.applyOptions({
      layout: { textColor: quiet, fontFamily: getComputedStyle(document.body).fontFamily },
      grid: { horzLines: { color: line } },
      rightPriceScale: { visible: !root.hasAttribute("data-private") },
      crosshair: { vertLine: { color: quiet } },
    });
    this.#frame.applyOptions(filled(colour("--warn", 0.16)));
    this.#marks.applyOptions(filled(colour("--warn")));
    for (const run of this.#runs) run.applyOptions(this.#look());
    this.#line?.applyOptions({ color: quiet });
  }

  #look() {
    return { lineColor: colour("--accent"), topColor: colour("--accent", 0.24), bottomColor: colour("--accent", 0.02) };
  }

  /** `series` as the socket tells it, `previous` the value at the previous close or null, `silences` of the API. */
  draw({ series, previous, silences }) {
    if (!series) return this.#shape && this.#clear();
    const runs = runsOf(series);
    const shape = JSON.stringify([series.opens_at, runs.map((run) => [run[0].at, run.length]), series.points.length, silences]);
    const values = runs.flat().map(({ value }) => Number(value)); // for pixels alone
    this.#previous = previous;
    this.#range = [Math.min(...values), Math.max(...values)];
    if (shape === this.#shape) this.#update(runs);
    else this.#setAll(series, runs, silences);
    this.#shape = shape;
    this.#tellPrevious();
  }

  #clear() {
    this.#shape = "";
    for (const run of this.#runs.splice(0)) this.#chart.removeSeries(run);
    this.#line = null;
    this.#frame.setData([]);
    this.#marks.setData([]);
  }

  /** Only the last minute has moved. */
  #update(runs) {
    const point = runs.at(-1)?.at(-1);
    if (!point) return;
    this.#points.set(timeOf(point.at), point);
    this.#runs.at(-1).update({ time: timeOf(point.at), value: Number(point.value) });
  }

  #setAll(series, runs, silences) {
    while (this.#runs.length < runs.length) this.#runs.push(this.#area());
    for (const run of this.#runs.splice(runs.length)) this.#chart.removeSeries(run);
    this.#points = new Map(series.points.map((point) => [timeOf(point.at), point]).filter(([, { value }]) => value !== null));
    runs.forEach((run, index) => this.#runs[index].setData(run.map(({ at, value }) => ({ time: timeOf(at), value: Number(value) }))));
    const gaps = gapsOf(series).map(([first, last]) => [timeOf(first.at), timeOf(last.at)]);
    const isUnknown = (time) => gaps.some(([first, last]) => first <= time && time <= last);
    const minutes = minutesOf(series, runs);
    const times = minutes.map(timeOf);
    const begun = minutes.filter((at) => at <= Date.parse(series.points.at(-1)?.at ?? series.opens_at));
    this.#frame.setData(times.map((time, place) => (place < begun.length ? { time, value: isUnknown(time) ? 1 : UNSEEN } : { time })));
    const isSilent = (at) => silences.some(({ begun_at: begun, until }) => Date.parse(begun) < at + MINUTE && at < (until === null ? Date.now() : Date.parse(until)));
    this.#marks.setData(begun.map((at) => ({ time: timeOf(at), value: isSilent(at) ? 1 : UNSEEN })));
    this.#chart.timeScale().fitContent();
  }

  #area() {
    return this.#chart.addAreaSeries({
      ...this.#look(), lineWidth: 2, lastValueVisible: false, priceLineVisible: false, crosshairMarkerRadius: 3,
      autoscaleInfoProvider: (own) => this.#withPrevious(own()),
    });
  }

  /** The scale shows the previous close, too, where that does not make a flat line of the day. */
  #withPrevious(info) {
    if (!info?.priceRange || this.#previous === null || !this.#isNear()) return info;
    const { minValue, maxValue } = info.priceRange;
    return { ...info, priceRange: { minValue: Math.min(minValue, this.#previous), maxValue: Math.max(maxValue, this.#previous) } };
  }

  #isNear() {
    const [low, high] = this.#range;
    const away = Math.max(low - this.#previous, this.#previous - high, 0);
    return away <= 6 * Math.max(high - low, high * 0.0005);
  }

  #tellPrevious() {
    const [run] = this.#runs;
    if (this.#line && (this.#previous === null || this.#line.of !== run)) {
      this.#line.of.removePriceLine(this.#line);
      this.#line = null;
    }
    if (!run || this.#previous === null) return;
    if (this.#line) return this.#line.applyOptions({ price: this.#previous });
    const style = this.#library.LineStyle.Dashed;
    this.#line = run.createPriceLine({ price: this.#previous, color: colour("--quiet"), lineWidth: 1, lineStyle: style, axisLabelVisible: false, title: "" });
    this.#line.of = run;
  }
}
