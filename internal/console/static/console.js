// What pages do beyond HTML: plots, the message that the connection is lost, and files that are dropped. Every page is complete without it.
'use strict';
(function () {
  // The stream of a live page. htmx opens it, and opens it again after an error; this tells the reader when nothing comes any more.
  const lost = document.getElementById('lost');
  let source = null, last = 0, patience = 0, resting = 0, asleep = false;
  function say(text, link) {
    if (lost.dataset.text === text) return;
    lost.dataset.text = text;
    lost.textContent = text;
    if (link) {
      const a = document.createElement('a');
      a.href = '/console/sign-in?next=' + encodeURIComponent(location.pathname + location.search);
      a.textContent = link;
      lost.append(' ', a);
    }
    lost.hidden = text === '';
  }
  function back() {
    clearTimeout(patience);
    patience = 0;
    last = Date.now();
    say('');
  }
  // A stream that has ended is opened again after 1 s. Only if that takes longer, the connection is lost.
  function gone() {
    if (patience || asleep) return;
    patience = setTimeout(async () => {
      patience = 0;
      say('The connection to the server is lost. Trying again…');
      try {
        const answer = await fetch('/console/session', { cache: 'no-store', signal: AbortSignal.timeout(10000) });
        if (answer.status === 401) say('Your session has ended.', 'Sign in');
      } catch { /* the server does not answer: the message says so */ }
    }, 2500);
  }
  // Closes the stream, and lets htmx open a new one: its extension does so for nodes that are new to it.
  function reopen() {
    source.close();
    const live = document.querySelector('[sse-connect]');
    for (const node of [live, ...live.querySelectorAll('[sse-swap]')]) htmx.trigger(node, 'htmx:afterProcessNode');
  }
  htmx.createEventSource = (url) => {
    last = Date.now();
    return (source = new EventSource(url));
  };
  document.addEventListener('htmx:sseOpen', back);
  document.addEventListener('htmx:sseMessage', back);
  document.addEventListener('htmx:sseError', gone);
  document.addEventListener('htmx:sseClose', () => { source = null; back(); draw(); settle(); });
  // The server sends something every 10 s. After three times that, the connection is dead, although it is open.
  setInterval(() => {
    if (!source || asleep || Date.now() - last <= document.body.dataset.silence * 1000) return;
    gone();
    if (source.readyState !== EventSource.CLOSED) reopen(); // else htmx opens it after a pause
  }, 1000);
  // A page in the background closes its stream after 10 s: browsers open only six connections to a server, for all pages together.
  document.addEventListener('visibilitychange', () => {
    clearTimeout(resting);
    if (document.hidden && source) resting = setTimeout(() => { if (source) { asleep = true; source.close(); } }, 10000);
    else if (asleep) { asleep = false; reopen(); }
  });

  // At the end of a job its buttons change: they are part of the page, which is read again once.
  function settle() {
    const plots = document.querySelector('.plots[data-live=yes]');
    if (plots && document.querySelector('#job')) location.replace(location.pathname);
  }

  // A menu that asks "are you sure" closes when something else is clicked.
  document.addEventListener('click', (e) => {
    for (const d of document.querySelectorAll('details.sure[open]')) if (!d.contains(e.target)) d.open = false;
  });
  document.addEventListener('keydown', (e) => {
    if (e.key === 'Escape') for (const d of document.querySelectorAll('details.sure[open]')) { d.open = false; d.querySelector('summary').focus(); }
  });

  // The plots of a job.
  const plots = document.querySelector('.plots');
  const drawn = new Map();
  const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  // The time of a tick: with seconds if ticks are less than a minute apart.
  function clock(v, all) {
    const text = new Date(v * 1000).toISOString();
    return all.length > 1 && all[1] - all[0] < 60 ? text.slice(11, 19) : text.slice(11, 16);
  }
  function options(width) {
    const axis = { stroke: css('--soft'), grid: { stroke: css('--line'), width: 1 }, ticks: { stroke: css('--line'), width: 1 } };
    return {
      width, height: 170, padding: [10, 30, 0, 0], legend: { show: false }, cursor: { y: false }, scales: { y: { range: (u, min, max) => [0, Math.max(max * 1.1, 1)] } },
      tzDate: (s) => uPlot.tzDate(new Date(s * 1000), 'UTC'),
      axes: [{ ...axis, space: 72, size: 34, values: (u, all) => all.map((v) => clock(v, all)) }, { ...axis, size: 52 }], series: [{}, { stroke: css('--busy'), fill: css('--busy-bg'), width: 2, points: { show: false } }],
    };
  }
  async function draw() {
    if (!plots || typeof uPlot === 'undefined') return;
    let p;
    try {
      const answer = await fetch(plots.dataset.points, { cache: 'no-store' });
      if (!answer.ok) return;
      p = await answer.json();
    } catch { return; }
    if (!p.at || p.at.length < 2) return;
    plots.hidden = false;
    for (const box of plots.querySelectorAll('.plot')) {
      const data = [p.at, p[box.dataset.series]];
      const values = data[1];
      box.setAttribute('role', 'img');
      box.setAttribute('aria-label', 'now ' + values[values.length - 1].toFixed(1) + ', at most ' + Math.max(...values).toFixed(1));
      if (drawn.has(box)) drawn.get(box).setData(data);
      else drawn.set(box, new uPlot(options(box.clientWidth), data, box));
    }
  }
  function resize() { for (const [box, u] of drawn) u.setSize({ width: box.clientWidth, height: 170 }); }
  function again() { for (const [box, u] of drawn) { u.destroy(); drawn.delete(box); } draw(); }
  addEventListener('resize', resize);
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', again);
  draw();
  if (plots && plots.dataset.live) setInterval(() => { if (!document.hidden) draw(); }, 4000);

  // A file can be dropped anywhere on a page that takes one. Otherwise the browser would leave the page and show the file.
  const drop = document.querySelector('[data-drop]');
  if (drop) {
    const input = drop.querySelector('input[type=file]');
    const files = (e) => e.dataTransfer && e.dataTransfer.types.includes('Files');
    for (const name of ['dragenter', 'dragover']) document.addEventListener(name, (e) => { if (files(e)) { e.preventDefault(); drop.classList.add('over'); } });
    document.addEventListener('dragleave', (e) => { if (!e.relatedTarget) drop.classList.remove('over'); });
    document.addEventListener('drop', (e) => {
      if (!files(e)) return;
      e.preventDefault();
      drop.classList.remove('over');
      const entry = e.dataTransfer.items && e.dataTransfer.items[0].webkitGetAsEntry && e.dataTransfer.items[0].webkitGetAsEntry();
      const one = e.dataTransfer.files.length === 1 && !(entry && entry.isDirectory);
      if (one) input.files = e.dataTransfer.files;
      input.setCustomValidity(one ? '' : 'Drop one file: this page takes one at a time, and no folders.');
      input.dispatchEvent(new Event('change', { bubbles: true }));
      input.focus();
      if (!one) { input.reportValidity(); input.setCustomValidity(''); }
    });
  }
  // A form is sent once.
  document.addEventListener('submit', (e) => {
    const b = e.target.querySelector('button:not([type=button])');
    if (e.target.method === 'post' && b) setTimeout(() => { b.disabled = true; }, 0);
  });
  addEventListener('pageshow', () => { for (const b of document.querySelectorAll('button[disabled]')) b.disabled = false; });
})();
