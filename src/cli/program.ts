/**
 * The command line: which command is this, and with what?
 *
 * The processes themselves (`up`, `proxy`, `node`, `sentinel`) are composition roots that main.ts hands in; they run
 * until they are asked to stop and answer with an exit code. Exit codes: 0 asked to stop or done, 1 could not, 2 bad
 * usage or configuration.
 */
import { Command, CommanderError, Option as Flag, InvalidArgumentError } from 'commander'
import { parseAddress } from '../base/address.js'
import { printConfig } from '../config/describe.js'
import { type LoadedConfig, type LoadResult, loadConfig } from '../config/load.js'
import { allowedText, type ConfigSchema, listOptions } from '../config/option.js'
import { type ProxyConfig, proxySchema, type UpConfig, upSchema } from '../config/schema.js'
import { readConfigFile, readSecretFile } from './files.js'
import type { Io } from './io.js'
import { type EventsOptions, events, failover, type OperatorOptions, speak, status, switchover } from './operator.js'
import { addCompletionCommand, addConfigCommand, addLookingCommands, examples, type Tools } from './program-look.js'
import { applyRescue, listRescues, showRescue } from './rescue.js'

/** A checked configuration, and the way to read it once more (SIGHUP). */
export interface Started<C> extends LoadedConfig<C> {
  readonly reload: () => LoadResult<C>
}

/** What runs; each ends with an exit code. */
export interface Roots {
  runUp(started: Started<UpConfig>): Promise<number>
  runProxy(started: Started<ProxyConfig>): Promise<number>
  /** Arguments as redis-server takes them, untouched. */
  runNode(args: readonly string[]): Promise<number>
  /** Arguments as redis-sentinel takes them, untouched. */
  runSentinel(args: readonly string[]): Promise<number>
}

/** Runs the command of `args` (without node and script) and answers the exit code. */
export async function runCli(args: readonly string[], roots: Roots, io: Io, version: string): Promise<number> {
  const [command, ...rest] = args
  // Redis' own syntax has options and words that commander would take for its own.
  if (command === 'node' && !asksForHelp(rest)) return roots.runNode(rest)
  if (command === 'sentinel' && !asksForHelp(rest)) return roots.runSentinel(rest)

  let exitCode = 0
  const program = buildProgram(roots, io, version, code => {
    exitCode = code
  })
  try {
    if (args.length === 0) program.help({ error: true })
    await program.parseAsync([...args], { from: 'user' })
    return exitCode
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2
    throw error
  }
}

/** The tree of commands; `exit` hears the code of the one that ran. */
export function buildProgram(roots: Roots, io: Io, version: string, exit: (code: number) => void): Command {
  const program = new Command('lagrange')
    .description('One Redis endpoint over a replicating group.')
    .version(version)
    .exitOverride()
    .showSuggestionAfterError()
    .configureOutput({
      writeOut: io.out,
      writeErr: io.err,
      // One line: what is wrong, and what was probably meant.
      outputError: (text, write) =>
        write(
          `${text
            .trim()
            .replace(/^error: /, 'lagrange: ')
            .replace(/\s*\n\s*/g, ' ')}\n`,
        ),
    })
    .addHelpText('after', overview)

  addUp(program, roots, io, exit)
  addProxy(program, roots, io, exit)
  addRedisCommands(program)
  addOperatorCommands(program, io, exit)
  const tools: Tools = { io, exit, addAdminFlags, operate, readWhole, readAddress }
  addLookingCommands(program, tools)
  addConfigCheck(addConfigCommand(program, tools), io, exit)
  addCompletionCommand(program, tools)
  return program
}

const overview = `
Examples:
  $ lagrange up                                             a whole group on this machine
  $ lagrange proxy --upstream 10.0.0.1:6379                 in front of what is there
  $ lagrange node --port 7001 --replicaof "10.0.0.1 6379"   one node
  $ lagrange status                                         who is master, who lags
  $ lagrange switchover --to 127.0.0.1:6402                 change the master
  $ lagrange top                                            the same and the traffic, live
  $ lagrange why GET user:1                                 where a command would go
`

type Exit = (code: number) => void

function addUp(program: Command, roots: Roots, io: Io, exit: Exit): void {
  const command = program.command('up').description('run a whole group: a master, replicas, the proxy, the admin API')
  addConfigFlags(command, upSchema)
  command.addHelpText(
    'after',
    examples('up', 'up --replicas 3 --data-dir /var/lib/lagrange', 'up --port 7400 --node-port 7401 --admin-port 8401'),
  )
  command.action(async () => exit(await startWith(upSchema, command, io, started => roots.runUp(started))))
}

function addProxy(program: Command, roots: Roots, io: Io, exit: Exit): void {
  const command = program.command('proxy').description('run the proxy alone, in front of anything that speaks Redis')
  addConfigFlags(command, proxySchema)
  command.addHelpText(
    'after',
    examples(
      'proxy --upstream 10.0.0.1:6379,10.0.0.2:6379',
      'proxy -c /etc/lagrange/proxy.yaml --check-config',
      'proxy --topology-source sentinel --sentinels 10.0.0.1:26379 --group mymaster',
    ),
  )
  command.action(async () => exit(await startWith(proxySchema, command, io, started => roots.runProxy(started))))
}

/** For --help only: what they are given goes to the roots as it is. */
function addRedisCommands(program: Command): void {
  program
    .command('node')
    .usage('[redis.conf] [--directive value …]')
    .description('run one Redis-compatible node; takes what redis-server takes')
    .helpOption('-h, --help', 'display help for command')
    .addHelpText(
      'after',
      examples(
        'node redis.conf',
        'node --port 7001 --dir /var/lib/lagrange --appendonly yes',
        'node --port 7002 --replicaof "10.0.0.1 7001"',
        'node sentinel.conf --sentinel',
      ),
    )
  program
    .command('sentinel')
    .usage('sentinel.conf [--directive value …]')
    .description('run a sentinel; takes what redis-sentinel takes')
    .helpOption('-h, --help', 'display help for command')
    .addHelpText('after', examples('sentinel sentinel.conf', 'sentinel sentinel.conf --port 26380'))
}

function addOperatorCommands(program: Command, io: Io, exit: Exit): void {
  const operator = (name: string, description: string) => addAdminFlags(program.command(name).description(description))

  const statusCommand = operator('status', 'show who is master, who follows and how far behind')
  statusCommand.addHelpText(
    'after',
    examples('status', 'status --admin 10.0.0.1:8400 --token-file token', 'status --json'),
  )
  statusCommand.action(async () => exit(await operate(statusCommand, io, options => status(io, options))))

  const switchoverCommand = operator('switchover', 'make another instance the master, without losing a write')
    .option('--to <host:port>', 'the instance that shall be master; the best candidate when absent', readAddress)
    .option('--dry-run', 'show the plan and do nothing')
    .option('-y, --yes', 'do not ask')
    .addOption(new Flag('--force', 'the same as --yes').implies({ yes: true }))
    .option('--timeout-ms <ms>', 'roll back when it takes longer (100 to 60000)', readWhole(100, 60_000), 5000)
    .addHelpText('after', examples('switchover', 'switchover --to 127.0.0.1:6402 --dry-run', 'switchover --yes --json'))
  switchoverCommand.action(async () => exit(await operate(switchoverCommand, io, options => switchover(io, options))))

  const failoverCommand = operator('failover', 'promote a replica when the master is gone')
    .option('--to <host:port>', 'the instance that shall be master; the best candidate when absent', readAddress)
    .option('--accept-data-loss', 'even where acknowledged writes are lost by it')
    .option('-y, --yes', 'do not ask')
    .addOption(new Flag('--force', 'the same as --yes').implies({ yes: true }))
  failoverCommand.addHelpText('after', examples('failover', 'failover --to 127.0.0.1:6402 --yes'))
  failoverCommand.action(async () => exit(await operate(failoverCommand, io, options => failover(io, options))))

  const rescueCommand = program
    .command('rescue')
    .description('writes that only an old master had')
    .addHelpText('after', examples('rescue list', 'rescue show ID', 'rescue apply ID --dry-run'))
  const rescueOf = (usage: string, description: string) =>
    addAdminFlags(rescueCommand.command(usage).description(description))
  const listCommand = rescueOf('list', 'show what was rescued')
  listCommand.action(async () =>
    exit(
      await operate(listCommand, io, options => speak(io, options, api => listRescues(io, api, options.json === true))),
    ),
  )
  const showCommand = rescueOf('show <id>', 'show the keys of one, and its first commands')
  showCommand.action(async (id: string) =>
    exit(
      await operate(showCommand, io, options =>
        speak(io, options, api => showRescue(io, api, id, options.json === true)),
      ),
    ),
  )
  const applyCommand = rescueOf('apply <id>', 'send its writes to the master of the moment')
    .option('--skip-changed', 'leave out writes to keys that were written since (the default)')
    .option('--overwrite', 'apply them all, whatever was written since')
    .option('--dry-run', 'say what would be done, and do nothing')
  applyCommand.action(async (id: string) =>
    exit(
      await operate<RescueApplyOptions>(applyCommand, io, options => {
        const request = { skipChanged: options.overwrite !== true, dryRun: options.dryRun === true }
        return speak(io, options, api => applyRescue(io, api, id, request, options.json === true))
      }),
    ),
  )

  const eventsCommand = operator('events', 'show what happened')
    .option('-f, --follow', 'go on with what happens')
    .option('--after <id>', 'only events with a greater id', readWhole(0, Number.MAX_SAFE_INTEGER), 0)
    .option('--limit <n>', 'at most so many of the past, the newest (1 to 1000)', readWhole(1, 1000), 100)
  eventsCommand.addHelpText('after', examples('events --limit 20', 'events -f', 'events -f --json | jq .name'))
  eventsCommand.action(async () =>
    exit(await operate<EventsOptions>(eventsCommand, io, options => events(io, options))),
  )
}

/** The same as `proxy --check-config`, under the name that one looks for. */
function addConfigCheck(config: Command, io: Io, exit: Exit): void {
  const command = config
    .command('check')
    .description('tell every mistake of a file, with its line')
    .argument('[path]', 'a YAML file', 'config/proxy.yaml')
    .addHelpText('after', examples('config check /etc/lagrange/proxy.yaml'))
  command.action((path: string) => {
    const sources = { file: path, readFile: readConfigFile, readSecret: readSecretFile, env: io.env, flags: {} }
    const loaded = loadConfig(proxySchema, sources)
    if ('errors' in loaded) {
      for (const error of loaded.errors) io.err(`lagrange: ${error}\n`)
      return exit(2)
    }
    for (const warning of loaded.warnings) io.err(`lagrange: warning: ${warning}\n`)
    io.out('The configuration is fine.\n')
  })
}

// ── Flags of a configuration ────────────────────────────────────────────────────────────────────────────────────────

function addConfigFlags<C>(command: Command, schema: ConfigSchema<C>): void {
  command.option('-c, --config <path>', 'a YAML file; config/proxy.yaml explains every option')
  for (const option of listOptions(schema.options)) {
    if (option.flag === undefined) continue
    const summary = `${firstSentence(option.doc)} (${allowedText(option)}; ${option.env})`
    command.option(`--${option.flag} <${option.placeholder ?? 'value'}>`, summary)
  }
  command.option('--check-config', 'tell every mistake of the configuration and end')
  command.option('--print-config', 'print the configuration in force, secrets masked, and end')
}

async function startWith<C>(
  schema: ConfigSchema<C>,
  command: Command,
  io: Io,
  run: (started: Started<C>) => Promise<number>,
): Promise<number> {
  const load = (): LoadResult<C> =>
    loadConfig(schema, {
      file: command.getOptionValue('config') as string | undefined,
      readFile: readConfigFile,
      readSecret: readSecretFile,
      env: io.env,
      flags: configFlags(schema, command),
    })
  const loaded = load()
  if ('errors' in loaded) {
    for (const error of loaded.errors) io.err(`lagrange: ${error}\n`)
    return 2
  }
  for (const warning of loaded.warnings) io.err(`lagrange: warning: ${warning}\n`)
  if (command.getOptionValue('checkConfig') === true) {
    io.out('The configuration is fine.\n')
    return 0
  }
  if (command.getOptionValue('printConfig') === true) {
    io.out(printConfig(schema, loaded.config))
    return 0
  }
  return run({ ...loaded, reload: load })
}

function configFlags<C>(schema: ConfigSchema<C>, command: Command): Readonly<Record<string, string | undefined>> {
  const values = listOptions(schema.options).flatMap(({ flag }) => {
    const found = command.options.find(option => option.long === `--${flag}`)
    return flag === undefined || found === undefined ? [] : [[flag, command.getOptionValue(found.attributeName())]]
  })
  return Object.fromEntries(values) as Record<string, string | undefined>
}

// ── Flags of the operator commands ──────────────────────────────────────────────────────────────────────────────────

function addAdminFlags(command: Command): Command {
  return command
    .option('--admin <host:port>', `the admin API (default: LAGRANGE_ADMIN, or ${defaultAdmin})`, readAddress)
    .option('--token-file <path>', 'a file with the token of the admin API (default: LAGRANGE_TOKEN_FILE)')
    .option('--json', 'for scripts')
}

const defaultAdmin = '127.0.0.1:8400'

interface RescueApplyOptions extends OperatorOptions {
  readonly overwrite?: boolean
  readonly dryRun?: boolean
}

/** Completes the flags by the environment, and runs the command. */
async function operate<O extends OperatorOptions>(
  command: Command,
  io: Io,
  run: (options: O) => Promise<number>,
): Promise<number> {
  const { tokenFile, ...flags } = command.opts<{ admin?: string; tokenFile?: string }>()
  const admin = flags.admin ?? io.env.LAGRANGE_ADMIN ?? defaultAdmin
  if (parseAddress(admin) === undefined) {
    io.err(`lagrange: LAGRANGE_ADMIN: must be host:port, not ${JSON.stringify(admin)}\n`)
    return 2
  }
  const token = readToken(io, tokenFile)
  return typeof token === 'object' ? 2 : run({ ...flags, admin, token } as unknown as O)
}

/** From LAGRANGE_TOKEN or a file: arguments can be read by everyone on the machine. */
function readToken(io: Io, flag: string | undefined): string | undefined | { readonly kind: 'unreadable' } {
  const file = flag ?? io.env.LAGRANGE_TOKEN_FILE
  if (file === undefined) return io.env.LAGRANGE_TOKEN
  try {
    return readSecretFile(file).trim()
  } catch (error) {
    const name = flag === undefined ? 'LAGRANGE_TOKEN_FILE' : '--token-file'
    io.err(`lagrange: ${name}: ${file} cannot be used: ${(error as Error).message}\n`)
    return { kind: 'unreadable' }
  }
}

function readAddress(text: string): string {
  if (parseAddress(text) === undefined) throw new InvalidArgumentError('It must be host:port.')
  return text
}

function readWhole(min: number, max: number): (text: string) => number {
  return text => {
    const value = /^\d{1,16}$/.test(text) ? Number(text) : Number.NaN
    if (value >= min && value <= max) return value
    throw new InvalidArgumentError(`It must be a whole number from ${min} to ${max}.`)
  }
}

function firstSentence(text: string): string {
  return /^.*?[.;:](?=\s|$)/s.exec(text)?.[0].replace(/[.;:]$/, '') ?? text
}

function asksForHelp(args: readonly string[]): boolean {
  return args.length === 1 && (args[0] === '--help' || args[0] === '-h')
}
