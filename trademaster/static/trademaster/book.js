// The merged book in its four tabs: holdings, positions, orders, funds. Only the open one is written to.

import { renderFunds } from "./book_funds.js";
import { renderHoldings } from "./book_holdings.js";
import { grow, readOrders } from "./book_orders.js";
import { renderPositions } from "./book_positions.js";
import { listenToTabs } from "./book_tabs.js";
import { say } from "./dom.js";

const byId = (id) => document.getElementById(id);
const state = { portfolio: null, tab: null, areOrdersRead: false };
const shows = {
  holdings: (portfolio) => renderHoldings(portfolio),
  positions: (portfolio) => renderPositions(portfolio),
  funds: ({ funds, sources }) => renderFunds(funds, sources),
  orders: () => grow(),
};

export function renderBook(portfolio) {
  state.portfolio = portfolio;
  if (!state.areOrdersRead) readOrders(); // the tab says how many are in doubt, whichever is open
  state.areOrdersRead = true;
  const count = String(portfolio.trading_positions.filter(({ kind }) => kind !== "DERIVATIVE").length + portfolio.derivatives.length);
  byId("positions-mark").hidden = count === "0";
  say(byId("positions-mark"), count);
  shows[state.tab](portfolio);
}

listenToTabs((tab) => {
  state.tab = tab;
  for (const link of document.querySelectorAll("[data-export]")) {
    link.hidden = tab === "orders";
    link.href = `${link.dataset.export}?table=${tab}`;
  }
  if (tab === "orders") readOrders();
  if (state.portfolio) shows[tab](state.portfolio);
  if (tab === "holdings") renderHoldings(); // in order at once: nobody has seen the one of before
});
document.addEventListener("orders-changed", readOrders);
