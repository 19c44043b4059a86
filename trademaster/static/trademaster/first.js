// Before the first paint, so that nothing flashes: the reader's colours, and whether amounts are hidden.
try {
  const theme = localStorage.getItem("trademaster.theme");
  if (theme) document.documentElement.dataset.theme = theme;
  if (localStorage.getItem("private") === "yes") document.documentElement.dataset.private = "";
} catch (error) {
  if (!(error instanceof DOMException)) throw error; // a browser that keeps nothing: all as by default
}
