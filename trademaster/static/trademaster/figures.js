// Sentences that tell amounts or quantities, with those marked for privacy mode: the rest of the sentence can be read.

// Percentages, prices, times and counts of other things stay. orders/words.py has the same for pages made on the server.
const FIGURE = new RegExp(
  "(₹\\s?-?\\d+(?:,\\d+)*(?:\\.\\d+)?" +
    "|(?<![\\w.,:/-])(?<!\\bat )(?<!% from )(?<!such as )(?<!above )(?<!price of )(?<!limit of )(?<!trigger of )" +
    "(?<!close of )(?<!tick of )(?<!close, )(?<![A-Z]{3}, )(?<!this is )(?<!stand: )(?<!it be )" +
    "(?<!percent, is )(?<!number )" +
    "-?\\d+(?:,\\d+)*(?:\\.\\d+)?(?![\\w%/-]|:\\d|[.,]\\d" +
    "| (?:s|seconds?|minutes?|times?|limits?|orders?|more orders|readings|accounts?" +
    "|of the (?:book|equity|margin)|of drawdown)\\b))",
);

function amount(words) {
  const node = document.createElement("span");
  node.dataset.money = "";
  node.textContent = words;
  return node;
}

/** The sentence as texts and marked nodes. */
export const figures = (words) => words.split(FIGURE).map((piece, index) => (index % 2 ? amount(piece) : piece)).filter((piece) => piece !== "");
