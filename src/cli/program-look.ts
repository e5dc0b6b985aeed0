/** The part of the command line that looks, drains and pauses; program.ts has the processes and the changes of master. */
import { Argument, type Command } from 'commander'
import { consistencyLevels } from '../config/formats.js'
import { completionScript, type Shell, shells } from './completion.js'
import type { Io } from './io.js'
import {
  drain,
  history,
  keys,
  type LimitOptions,
  pause,
  type ReasonOptions,
  reload,
  restartWorkers,
  sessions,
  showConfig,
  slowlog,
  type WhyOptions,
  why,
} from './look.js'
import type { OperatorOptions } from './operator.js'
import { type TopOptions, top } from './top.js'

/** What program.ts lends: it knows the flags of the admin API and where exit codes go. */
export interface Tools {
  readonly io: Io
  readonly exit: (code: number) => void
  readonly addAdminFlags: (command: Command) => Command
  readonly operate: <O extends OperatorOptions>(
    command: Command,
    io: Io,
    run: (options: O) => Promise<number>,
  ) => Promise<number>
  readonly readWhole: (min: number, max: number) => (text: string) => number
  readonly readAddress: (text: string) => string
}

export function addLookingCommands(program: Command, tools: Tools): void {
  const { io, exit, addAdminFlags, operate, readWhole, readAddress } = tools
  const operator = (usage: string, description: string): Command =>
    addAdminFlags(program.command(usage).description(description))
  const limit = (command: Command, most: number, usual: number): Command =>
    command.option('--limit <n>', `at most so many (1 to ${most})`, readWhole(1, most), usual)

  const topCommand = operator('top', 'status and traffic, drawn again and again')
    .option('--interval-ms <ms>', 'how often (100 to 60000)', readWhole(100, 60_000), 1000)
    .option('--count <n>', 'end after so many; 0 goes on until interrupted', readWhole(0, 1_000_000), 0)
    .addHelpText('after', examples('top', 'top --interval-ms 200', 'top --count 2 --json'))
  topCommand.action(async () => exit(await operate<TopOptions>(topCommand, io, options => top(io, options))))

  const whyCommand = operator('why', 'where a command would go now, and why; nothing is sent')
    .argument('<command...>', 'the command and its arguments')
    .option('--level <level>', `as a connection of this level (${consistencyLevels.join(', ')})`)
    .addHelpText('after', examples('why GET user:1', 'why --level bounded GET user:1', 'why -- ZADD board -1 alice'))
  whyCommand.action(async (command: readonly string[]) =>
    exit(await operate<WhyOptions>(whyCommand, io, options => why(io, options, command))),
  )

  for (const [name, drained, description] of [
    ['drain', true, 'take an instance out of reading'],
    ['ready', false, 'take it back into reading'],
  ] as const) {
    const command = operator(name, description)
      .addArgument(new Argument('<host:port>', 'the instance').argParser(readAddress))
      .option('--reason <text>', 'for the audit log')
      .addHelpText('after', examples(`${name} 127.0.0.1:6402`))
    command.action(async (id: string) =>
      exit(await operate<ReasonOptions>(command, io, options => drain(io, options, id, drained))),
    )
  }

  for (const [name, paused, description] of [
    ['pause', true, 'no failover and no repair by itself; planned switches still work'],
    ['resume', false, 'end a pause'],
  ] as const) {
    const command = operator(name, description).option('--reason <text>', 'for the audit log')
    command.action(async () => exit(await operate<ReasonOptions>(command, io, options => pause(io, options, paused))))
  }

  const restart = operator('restart-workers', 'replace the workers one after the other; nobody who connects is refused')
    .option('--reason <text>', 'for the audit log')
    .addHelpText('after', examples('restart-workers'))
  restart.action(async () => exit(await operate<ReasonOptions>(restart, io, options => restartWorkers(io, options))))

  const sessionsCommand = limit(operator('sessions', 'who is connected, the most active first'), 1000, 50)
    .option('--close <id>', 'close the connection of this session')
    .addHelpText('after', examples('sessions', 'sessions --close 0-17'))
  sessionsCommand.action(async () =>
    exit(await operate<LimitOptions>(sessionsCommand, io, options => sessions(io, options))),
  )

  const slowlogCommand = limit(operator('slowlog', 'commands that took long, as the proxy saw them'), 1000, 20)
    .option('--reset', 'empty it')
    .addHelpText('after', examples('slowlog --limit 5', 'slowlog --reset'))
  slowlogCommand.action(async () =>
    exit(await operate<LimitOptions>(slowlogCommand, io, options => slowlog(io, options))),
  )

  const keysCommand = limit(operator('keys', 'hot keys and big values, found by sampling'), 128, 20)
  keysCommand.action(async () => exit(await operate<LimitOptions>(keysCommand, io, options => keys(io, options))))

  const historyCommand = operator('history', 'the changes of master, newest first')
  historyCommand.action(async () => exit(await operate(historyCommand, io, options => history(io, options))))
}

/** `config` itself, to which program.ts adds `check`, which needs no running proxy. */
export function addConfigCommand(program: Command, { io, exit, addAdminFlags, operate }: Tools): Command {
  const config = program.command('config').description('the configuration: of a file, or in force')
  const show = addAdminFlags(config.command('show').description('what is in force, and where each value comes from'))
  show.action(async () => exit(await operate(show, io, options => showConfig(io, options))))
  const again = addAdminFlags(config.command('reload').description('read it again, as SIGHUP does'))
  again.action(async () => exit(await operate(again, io, options => reload(io, options))))
  return config
}

export function addCompletionCommand(program: Command, { io }: Tools): void {
  program
    .command('completion')
    .description('print a script for the completion of your shell')
    .addArgument(new Argument('<shell>', 'the shell').choices(shells))
    .addHelpText(
      'after',
      '\nExamples:\n  $ source <(lagrange completion bash)\n  $ source <(lagrange completion zsh)\n',
    )
    .action((shell: Shell) => io.out(completionScript(program, shell)))
}

export function examples(...lines: readonly string[]): string {
  return `\nExamples:\n${lines.map(line => `  $ lagrange ${line}\n`).join('')}`
}
