// What one browser remembers of its reader's wishes. A browser that keeps nothing forgets them with the page.

function safely(work) {
  try {
    return work();
  } catch (error) {
    if (!(error instanceof DOMException)) throw error;
    return null;
  }
}

export const remembered = (name) => safely(() => localStorage.getItem(name));

/** `value` null forgets it. */
export function remember(name, value) {
  safely(() => (value === null ? localStorage.removeItem(name) : localStorage.setItem(name, value)));
}
