// How a list comes into another order: what can stay while the rest is moved, and how to get there little by little. Pure.

/** Of places as they were (null: new), in the new order, those that can stay while the others are moved: most of them. */
export function inPlace(places) {
  const ends = []; // by length: where a rising run of that length ends, as low as can be
  const earlier = [];
  places.forEach((place, index) => {
    if (place === null) return;
    let [low, high] = [0, ends.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (places[ends[middle]] < place) low = middle + 1;
      else high = middle;
    }
    earlier[index] = low ? ends[low - 1] : undefined;
    ends[low] = index;
  });
  const staying = new Set();
  for (let index = ends.at(-1); index !== undefined; index = earlier[index]) staying.add(index);
  return staying;
}

/**
 * `held` and `wanted`: the same things in two orders. The first `settled` of `held` are left alone; of the others at most
 * `moves` are moved to where they belong, those before all that stand or belong the highest.
 * Answers `{rows, settled}`: the order that comes of it, and how many of it, from the top, are done with.
 */
export function nearer(held, wanted, settled, moves) {
  const top = held.slice(0, settled);
  const tail = held.slice(settled);
  const isTop = new Set(top);
  const rest = wanted.filter((each) => !isTop.has(each));
  const places = new Map(rest.map((each, place) => [each, place]));
  const targets = tail.map((each) => places.get(each));
  const staying = inPlace(targets);
  const astray = targets.map((target, place) => ({ target, place })).filter(({ place }) => !staying.has(place));
  const highest = ({ target, place }) => Math.min(target, place);
  const moving = astray.sort((one, other) => highest(one) - highest(other)).slice(0, moves);
  const found = placed(tail, targets, staying, moving);
  const wrong = found.findIndex((each, place) => each !== rest[place]);
  return { rows: [...top, ...found], settled: wrong < 0 ? held.length : settled + wrong };
}

/** `tail` with those of `moving` taken out and put before the first that stays and belongs behind them. */
function placed(tail, targets, staying, moving) {
  const waiting = [...moving].sort((one, other) => one.target - other.target);
  const taken = new Set(moving.map(({ place }) => place));
  const found = [];
  tail.forEach((each, place) => {
    if (taken.has(place)) return;
    while (staying.has(place) && waiting.length && waiting[0].target < targets[place]) found.push(tail[waiting.shift().place]);
    found.push(each);
  });
  return [...found, ...waiting.map(({ place }) => tail[place])];
}
