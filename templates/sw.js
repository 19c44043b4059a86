{% load static %}// One page for when TradeMaster cannot be reached. Whatever is about somebody is asked of the server, and kept nowhere.

const KEPT = "offline-2";
const PAGE = "{% url 'offline' %}";
const FILES = [PAGE, "{% static 'trademaster/page.css' %}", "{% static 'trademaster/frame.css' %}", "{% static 'trademaster/offline.js' %}", "{% static 'trademaster/icon.svg' %}"];

addEventListener("install", (event) => {
  skipWaiting();
  event.waitUntil(caches.open(KEPT).then((kept) => kept.addAll(FILES)));
});

addEventListener("activate", (event) => {
  event.waitUntil(caches.keys().then((names) => Promise.all(names.filter((name) => name !== KEPT).map((name) => caches.delete(name)))));
});

addEventListener("fetch", (event) => {
  const { mode, method, url } = event.request;
  if (mode === "navigate" && method === "GET") return event.respondWith(fetch(event.request).catch(() => caches.match(PAGE)));
  // The offline page's own files, where the network is away.
  if (FILES.includes(new URL(url).pathname)) event.respondWith(fetch(event.request).catch(() => caches.match(event.request, { ignoreSearch: true })));
});
