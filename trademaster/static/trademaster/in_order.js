// Keyed children in the order of their keys; what stands right stays untouched, and keeps its focus.

export function inOrder(list, keys) {
  keys.forEach((key, place) => {
    const node = list.querySelector(`:scope > [data-key="${CSS.escape(key)}"]`);
    if (list.children[place] !== node) list.insertBefore(node, list.children[place] ?? null);
  });
}
