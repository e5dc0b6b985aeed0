/** How the console looks: one palette for light and one for dark, chosen by the system or by the button. */
export const style = String.raw`
:root {
  color-scheme: light;
  --bg: #f4f6f9; --card: #ffffff; --text: #18212f; --muted: #5d6b80; --line: #dfe5ec; --soft: #eef2f7;
  --accent: #3451d1; --on-accent: #ffffff; --ok: #0b7a55; --warn: #9a6200; --bad: #c22727;
  --ok-soft: #dcf5ea; --warn-soft: #fdf0d5; --bad-soft: #fde3e3; --accent-soft: #e4e9ff;
  --shadow: 0 1px 2px rgb(20 30 50 / .06), 0 4px 16px rgb(20 30 50 / .05);
  font: 14px/1.45 system-ui, -apple-system, "Segoe UI", sans-serif;
}
:root[data-theme="dark"] {
  color-scheme: dark;
  --bg: #0d1219; --card: #151c26; --text: #e5ebf3; --muted: #93a1b5; --line: #263142; --soft: #1b2431;
  --accent: #8ba4ff; --on-accent: #0d1219; --ok: #45d199; --warn: #f2b84b; --bad: #ff7b7b;
  --ok-soft: #12342a; --warn-soft: #3a2d10; --bad-soft: #40191c; --accent-soft: #1f2a4d;
  --shadow: 0 1px 2px rgb(0 0 0 / .4), 0 4px 16px rgb(0 0 0 / .25);
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--bg); color: var(--text); font-variant-numeric: tabular-nums; }
h1, h2, h3, p { margin: 0; }
h1 { font-size: 17px; display: flex; align-items: center; gap: 9px; letter-spacing: -.01em; }
h2 { font-size: 14px; }
button, select, input { font: inherit; color: inherit; }
button, select, input[type="search"], input[type="password"] {
  border: 1px solid var(--line); background: var(--card); border-radius: 8px; padding: 5px 11px;
}
button { cursor: pointer; white-space: nowrap; }
button:hover:not(:disabled) { border-color: var(--accent); }
button:disabled { opacity: .5; cursor: default; }
button.primary { background: var(--accent); border-color: var(--accent); color: var(--on-accent); font-weight: 600; }
button.quiet { border-color: transparent; background: none; color: var(--muted); padding: 3px 8px; }
button.danger { color: var(--bad); }
:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; }
code, .mono { font-family: ui-monospace, "SF Mono", "Cascadia Mono", "DejaVu Sans Mono", monospace; font-size: 12.5px; }
.muted { color: var(--muted); } .ok { color: var(--ok); } .warn { color: var(--warn); } .bad { color: var(--bad); }
.skip { position: absolute; left: -9999px; } .skip:focus { left: 12px; top: 8px; z-index: 9; background: var(--card); padding: 8px; }

.bar {
  position: sticky; top: 0; z-index: 5; display: flex; align-items: center; gap: 10px; flex-wrap: wrap;
  padding: 10px 20px; background: var(--card); border-bottom: 1px solid var(--line);
}
.bar .space { flex: 1; }
.pill { border-radius: 99px; padding: 2px 10px; font-size: 12.5px; font-weight: 600; background: var(--soft); color: var(--muted); }
.pill.ok { background: var(--ok-soft); color: var(--ok); } .pill.warn { background: var(--warn-soft); color: var(--warn); }
.pill.bad { background: var(--bad-soft); color: var(--bad); }
.dot { width: 8px; height: 8px; border-radius: 99px; background: var(--ok); display: inline-block; }
.dot.bad { background: var(--bad); }
main { max-width: 1280px; margin: 0 auto; padding: 18px 20px 48px; display: grid; gap: 16px; }
.card { background: var(--card); border: 1px solid var(--line); border-radius: 12px; box-shadow: var(--shadow); }
.notice { padding: 10px 16px; border-left: 4px solid var(--bad); }
.tiles { margin: 0; display: grid; gap: 12px; grid-template-columns: repeat(auto-fit, minmax(170px, 1fr)); }
.tile { padding: 12px 14px 8px; }
.tile dt { color: var(--muted); font-size: 12.5px; }
.tile dd { margin: 0; font-size: 21px; font-weight: 620; letter-spacing: -.02em; }
.tile small { font-size: 12.5px; font-weight: 400; color: var(--muted); letter-spacing: 0; }
.tile svg { display: block; width: 100%; height: 26px; margin-top: 2px; }
.spark { fill: none; stroke: var(--accent); stroke-width: 1.5; vector-effect: non-scaling-stroke; stroke-linejoin: round; }
.sparkfill { fill: var(--accent); opacity: .1; stroke: none; }
.lagging .spark { stroke: var(--warn); } .lagging .sparkfill { fill: var(--warn); }

#graph { padding: 4px 8px 8px; overflow-x: auto; }
#graph svg { display: block; margin: 0 auto; max-width: 100%; height: auto; min-width: 720px; }
.head { display: flex; align-items: center; gap: 12px; padding: 12px 16px 4px; }
.head .space { flex: 1; }
.node rect.box { fill: var(--card); stroke: var(--line); stroke-width: 1.5; }
.node { cursor: pointer; } .node:hover rect.box { stroke: var(--accent); }
.node:focus { outline: none; } .node:focus-visible rect.box { stroke: var(--accent); stroke-width: 2.5; }
.node.master rect.box { stroke: var(--ok); stroke-width: 2; } .node.down rect.box { stroke: var(--bad); stroke-dasharray: 5 4; }
.node.drained { opacity: .72; }
.node .band { fill: var(--accent-soft); } .node.master .band { fill: var(--ok-soft); } .node.down .band { fill: var(--bad-soft); }
.node.warned .band { fill: var(--warn-soft); }
.node text { fill: var(--text); font-size: 12.5px; } .node .id { font-weight: 640; font-size: 13.5px; }
.node .sub { fill: var(--muted); } .node .role { font-weight: 700; font-size: 10.5px; letter-spacing: .06em; }
.node.master .role { fill: var(--ok); } .node.replica .role { fill: var(--accent); } .node.down .role { fill: var(--bad); }
.node.warned .role { fill: var(--warn); }
.link { fill: none; stroke: var(--accent); stroke-width: 2; opacity: .65; }
.link.flow { stroke-dasharray: 3 7; stroke-linecap: round; animation: flow 1.2s linear infinite; }
.link.down { stroke: var(--bad); stroke-dasharray: 6 6; opacity: .9; } .link.sync { stroke: var(--warn); }
.link.write { stroke: var(--ok); }
.linktext { font-size: 11px; fill: var(--muted); text-anchor: middle; paint-order: stroke; stroke: var(--card); stroke-width: 4px; }
@keyframes flow { to { stroke-dashoffset: -10; } }
@media (prefers-reduced-motion: reduce) { .link.flow { animation: none; } * { transition: none !important; } }

[role="tablist"] { scroll-margin-top: 66px; display: flex; gap: 2px; padding: 8px 10px 0; border-bottom: 1px solid var(--line); overflow-x: auto; }
[role="tab"] { border: 0; border-bottom: 2px solid transparent; border-radius: 8px 8px 0 0; background: none; color: var(--muted); padding: 8px 13px; }
[role="tab"][aria-selected="true"] { color: var(--text); border-bottom-color: var(--accent); font-weight: 600; }
[role="tabpanel"] { padding: 12px 16px 16px; min-height: 220px; }
.tools { display: flex; gap: 10px; align-items: center; margin-bottom: 10px; flex-wrap: wrap; }
.tools .space { flex: 1; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; }
th { text-align: left; font-size: 12px; font-weight: 600; color: var(--muted); padding: 5px 12px 5px 0; border-bottom: 1px solid var(--line); white-space: nowrap; }
td { padding: 6px 12px 6px 0; border-bottom: 1px solid var(--line); vertical-align: middle; }
tr:last-child td { border-bottom: 0; }
td.num, th.num { text-align: right; }
td.act { text-align: right; padding: 2px 0; white-space: nowrap; }
td.wrap { word-break: break-word; min-width: 14em; }
.empty { color: var(--muted); padding: 26px 0; text-align: center; }
.meter { display: inline-block; width: 120px; height: 7px; border-radius: 9px; background: var(--soft); overflow: hidden; vertical-align: middle; }
.meter i { display: block; height: 100%; background: var(--accent); border-radius: 9px; }
#feed { list-style: none; margin: 0; padding: 0; max-height: 420px; overflow-y: auto; }
#feed li { display: grid; grid-template-columns: 92px 52px 250px 1fr; gap: 10px; padding: 4px 0; border-bottom: 1px solid var(--soft); }
#feed .name { font-weight: 600; } #feed .fields { color: var(--muted); word-break: break-word; }

dialog { border: 1px solid var(--line); border-radius: 14px; background: var(--card); color: var(--text); padding: 0; width: min(620px, 94vw); box-shadow: 0 20px 60px rgb(0 0 0 / .35); }
dialog::backdrop { background: rgb(10 15 25 / .45); }
dialog form, dialog .body { padding: 18px 20px; display: grid; gap: 12px; }
dialog h2 { font-size: 16px; }
dialog .row { display: flex; gap: 10px; align-items: center; flex-wrap: wrap; }
dialog .foot { display: flex; gap: 10px; justify-content: flex-end; padding: 12px 20px; border-top: 1px solid var(--line); }
.plan { background: var(--soft); border-radius: 10px; padding: 12px 14px; display: grid; gap: 8px; }
.steps { list-style: none; margin: 0; padding: 0; display: grid; gap: 3px; }
.steps li { display: grid; grid-template-columns: 18px 150px 1fr 80px; gap: 8px; align-items: center; color: var(--muted); }
.steps li.done { color: var(--text); } .steps li.now { color: var(--accent); font-weight: 600; }
.steps .bar2 { height: 6px; border-radius: 9px; background: var(--accent); justify-self: start; min-width: 2px; }
.steps .ms { text-align: right; }
.swap { display: flex; align-items: center; justify-content: center; gap: 14px; font-weight: 640; }
.swap span { border: 1.5px solid var(--line); border-radius: 9px; padding: 6px 12px; } .swap .to { border-color: var(--ok); }
.keys { display: grid; grid-template-columns: 90px 1fr; gap: 6px 14px; }
kbd { border: 1px solid var(--line); border-bottom-width: 2px; border-radius: 6px; padding: 0 7px; font: inherit; font-size: 12.5px; background: var(--soft); justify-self: start; }
dl.facts { display: grid; grid-template-columns: max-content 1fr; gap: 5px 16px; margin: 0; } dl.facts dt { color: var(--muted); } dl.facts dd { margin: 0; word-break: break-all; }
footer { color: var(--muted); text-align: center; font-size: 12.5px; } a { color: var(--accent); }
@media (max-width: 720px) { #feed li { grid-template-columns: 84px 1fr; } #feed .fields { grid-column: 1 / -1; } .bar { padding: 8px 12px; } main { padding: 12px; } }
`
