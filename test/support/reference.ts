/** The pages of docs/ that are made from the source: options, metrics, the admin API, the command line. */
import { z } from 'zod'
import { type Route, routes } from '../../src/admin/routes.js'
import { buildProgram } from '../../src/cli/program.js'
import { describeOptions } from '../../src/config/describe.js'
import type { ConfigSchema } from '../../src/config/option.js'
import { proxySchema, upSchema } from '../../src/config/schema.js'
import { catalog, type MetricRow } from '../../src/metrics/catalog.js'

const note =
  'This page is generated: `UPDATE=1 npx vitest run --config test/vitest.config.ts test/unit/config` rewrites it.'

/** By the name of the file in docs/. */
export function referencePages(): Readonly<Record<string, string>> {
  return {
    'options.md': optionsPage(),
    'metrics.md': metricsPage(),
    'admin-api.md': adminApiPage(),
    'commands.md': commandsPage(),
  }
}

// ── Options ─────────────────────────────────────────────────────────────────────────────────────────────────────────

function optionsPage(): string {
  const proxy = describeOptions(proxySchema)
  const known = new Set(proxy.map(option => option.path))
  const own = describeOptions(upSchema).filter(option => !known.has(option.path))
  return page(
    'Options',
    'Of `lagrange proxy`, and those that only `lagrange up` has. A file (YAML) < the environment < flags; secrets have no flag, as arguments can be read by everyone on the machine. `live` options are taken over at a reload, the others at a restart.',
    ...sectionsOf(proxySchema),
    '## Only of `lagrange up`',
    ...own.map(describeOption),
  )
}

function sectionsOf<C>(schema: ConfigSchema<C>): readonly string[] {
  const lines: string[] = []
  let section: string | undefined
  for (const option of describeOptions(schema)) {
    const name = option.path.includes('.') ? (option.path.split('.')[0] as string) : ''
    if (name !== section) lines.push(name === '' ? '## At the top' : `## ${name}`)
    section = name
    lines.push(describeOption(option))
  }
  return lines
}

function describeOption(option: ReturnType<typeof describeOptions>[number]): string {
  const value = JSON.stringify(option.default)
  const names = [option.env && `\`${option.env}\``, option.flag && `\`--${option.flag}\``].filter(Boolean).join(', ')
  return [
    `### \`${option.path}\``,
    '',
    option.doc,
    '',
    `- allowed: ${option.allowed}`,
    `- default: \`${value}\``,
    ...(names === '' ? [] : [`- also: ${names}`]),
    `- a change ${option.reload === 'live' ? 'is taken over at a reload' : 'needs a restart'}${option.sensitive ? '; masked wherever it is printed' : ''}`,
  ].join('\n')
}

// ── Metrics ─────────────────────────────────────────────────────────────────────────────────────────────────────────

function metricsPage(): string {
  const rows = Object.entries(catalog).map(([name, row]: readonly [string, MetricRow]) => {
    const labels = row.labels.map(label => `\`${label}\``).join(', ')
    return `| \`${name}\` | ${row.type} | ${labels} | ${cell(row.help)} |`
  })
  return page(
    'Metrics',
    'At `/metrics` of the admin port; OpenMetrics, with exemplars of slow commands, when asked for. Nodes and sentinels with `metrics-port` have those about themselves, and `redis_*` by the names of redis_exporter. Ids, keys and addresses of clients are never labels.',
    ['| metric | type | labels | meaning |', '|---|---|---|---|', ...rows].join('\n'),
    `${rows.length} families, besides \`process_*\` and \`nodejs_*\` of the supervisor.`,
  )
}

// ── Admin API ───────────────────────────────────────────────────────────────────────────────────────────────────────

function adminApiPage(): string {
  return page(
    'Admin API',
    'JSON over HTTP at `admin.listen`; `/openapi.json` describes it to programs. Errors are problem documents (RFC 9457) with a stable `type`. With tokens configured, `Authorization: Bearer …` is asked for by all but probes and pages; each role may do what the one before may: `read`, `operate`, `admin`. Changes take `Idempotency-Key` and `If-Match: "<epoch>"`, are bounded to ten a second, and leave a line in the audit log. `Host` must be an address, `localhost` or a name of `admin.allowedHosts`; requests of other sites are refused.',
    ...routes.map(describeRoute),
  )
}

function describeRoute(route: Route): string {
  const access =
    route.access === 'probe' || route.access === 'page' ? 'nobody is asked for a token' : `role \`${route.access}\``
  const fields = [...fieldsOf(route.query, '?'), ...fieldsOf(route.body, '')]
  const streams = route.streams === undefined ? [] : [`As \`${route.streams}\`, too.`]
  return [
    `## ${route.method} ${route.path}`,
    '',
    [
      route.summary,
      ...streams,
      ...(route.aliases ? [`Also ${route.aliases.map(alias => `\`${alias}\``).join(', ')}.`] : []),
    ].join(' '),
    '',
    `- ${access}${route.changes ? '; a change: audited' : ''}`,
    ...fields,
  ].join('\n')
}

function fieldsOf(schema: z.ZodType | undefined, prefix: string): readonly string[] {
  if (schema === undefined) return []
  const json = z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' }) as {
    properties?: Record<string, { description?: string; default?: unknown }>
  }
  return Object.entries(json.properties ?? {}).map(([name, field]) => {
    const usual = field.default === undefined ? '' : ` Default \`${JSON.stringify(field.default)}\`.`
    return `- \`${prefix}${name}\`: ${field.description ?? ''}${usual}`
  })
}

// ── Commands ────────────────────────────────────────────────────────────────────────────────────────────────────────

function commandsPage(): string {
  const never = async (): Promise<number> => 0
  const io = {
    out: () => undefined,
    err: () => undefined,
    interactive: false,
    colour: false,
    env: {},
    ask: async () => '',
    interrupted: () => new AbortController().signal,
  }
  const roots = { runUp: never, runProxy: never, runNode: never, runSentinel: never }
  const program = buildProgram(roots, io, '', () => undefined)
  const helps: string[] = []
  const visit = (command: typeof program, path: string): void => {
    helps.push(
      `## ${path}`,
      ['```', command.configureHelp({ helpWidth: 110 }).helpInformation().trim(), '```'].join('\n'),
    )
    for (const child of command.commands) visit(child, `${path} ${child.name()}`)
  }
  visit(program, 'lagrange')
  return page(
    'Commands',
    'Exit codes: 0 asked to stop or done, 1 could not, 2 wrong usage or configuration. `--json` is for scripts; the admin API is found by `--admin` or `LAGRANGE_ADMIN`, its token in `--token-file`, `LAGRANGE_TOKEN_FILE` or `LAGRANGE_TOKEN`.',
    ...helps,
  )
}

function page(title: string, ...parts: readonly string[]): string {
  return `${[`# ${title}`, note, ...parts].join('\n\n')}\n`
}

function cell(text: string): string {
  return text.replaceAll('|', '\\|')
}
