/** What the console is made of before anything is known. */
export const markup = String.raw`
<a class="skip" href="#tabs">To the tables</a>
<header class="bar">
  <h1>
    <svg width="26" height="26" viewBox="0 0 26 26" aria-hidden="true">
      <circle cx="13" cy="13" r="9.5" fill="none" stroke="currentColor" stroke-opacity=".28" stroke-width="1.5"/>
      <circle cx="13" cy="13" r="4.2" fill="#12a074"/><circle cx="17.75" cy="4.8" r="2.4" fill="#4f6bed"/><circle cx="17.75" cy="21.2" r="2.4" fill="#4f6bed"/>
    </svg>
    Lagrange
  </h1>
  <span id="group" class="muted"></span>
  <span id="diagnosis" class="pill" role="status">…</span>
  <span id="failover" class="pill"></span>
  <span class="space"></span>
  <span class="muted"><i id="live" class="dot"></i> <span id="state">connecting</span></span>
  <button id="pause" type="button">Pause failover</button>
  <button id="switch" type="button" class="primary">Switch master…</button>
  <button id="theme" type="button" class="quiet" aria-label="Light or dark" title="Light or dark (d)">◐</button>
  <button id="help" type="button" class="quiet" aria-label="Keyboard" title="Keyboard (?)">?</button>
</header>
<main>
  <section id="notice" class="card notice" role="alert" hidden></section>
  <dl class="tiles" id="tiles" aria-label="Traffic"></dl>
  <section class="card" aria-labelledby="graph-title">
    <div class="head"><h2 id="graph-title">Topology</h2><span class="muted" id="epoch"></span><span class="space"></span><span class="muted" id="last"></span></div>
    <div id="graph"></div>
  </section>
  <section class="card">
    <div role="tablist" id="tabs" aria-label="Details"></div>
    <div role="tabpanel" id="panel" tabindex="-1"></div>
  </section>
  <footer><a href="/metrics">metrics</a> · <a href="/openapi.json">API</a> · press <kbd>?</kbd> for keys</footer>
</main>
<dialog id="dialog" aria-labelledby="dialog-title"></dialog>
`
