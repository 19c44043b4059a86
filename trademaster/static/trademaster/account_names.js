// What an account is called beside others: by its broker alone, where that broker has no other account here. Pure.

/** `sources`: those of the portfolio. Answers {connection_id: name}. */
export function accountNames(sources) {
  const accounts = new Map();
  for (const { broker_id } of sources) accounts.set(broker_id, (accounts.get(broker_id) ?? 0) + 1);
  const names = Object.create(null);
  for (const source of sources) names[source.connection_id] = accounts.get(source.broker_id) > 1 ? accountName(source) : source.broker_name;
  return names;
}

/** The broker's name stands in it whatever its owner calls it. */
function accountName({ broker_name: broker, display_name: own }) {
  if (!own || own === broker) return broker;
  return own.startsWith(broker) ? own : `${broker}, ${own}`;
}
