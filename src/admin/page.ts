/**
 * The console at `/`: one static document without any asset from elsewhere; its policy allows exactly this script and this
 * style. The parts are in console/; there is no framework and no step that builds them.
 */
import { createHash } from 'node:crypto'
import { core } from './console/core.js'
import { dialogs } from './console/dialogs.js'
import { graph } from './console/graph.js'
import { markup } from './console/markup.js'
import { panels } from './console/panels.js'
import { start } from './console/start.js'
import { style } from './console/style.js'

/** One script: its parts see each other's names. */
export const consoleScript = [core, graph, dialogs, panels, start].join('\n')

export const consolePage = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Lagrange</title>
<link rel="icon" href="data:,">
<style>${style}</style>
</head>
<body>
${markup}
<script>${consoleScript}</script>
</body>
</html>
`

/** The Content-Security-Policy of the page. */
export const consolePagePolicy = [
  "default-src 'none'",
  `script-src ${sourceHash(consoleScript)}`,
  `style-src ${sourceHash(style)}`,
  "connect-src 'self'",
  'img-src data:',
  "base-uri 'none'",
  // The dialog's form is of method "dialog": nothing is submitted anywhere.
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ')

function sourceHash(text: string): string {
  return `'sha256-${createHash('sha256').update(text).digest('base64')}'`
}
