/**
 * Shell completion, made from the tree of commands: what `--help` knows, the shell knows. `lagrange completion bash` prints a
 * script to be sourced.
 */
import type { Command, Option } from 'commander'

export const shells = ['bash', 'zsh'] as const
export type Shell = (typeof shells)[number]

/** One command with what may follow it. */
interface Entry {
  /** `config check`; empty for the program itself. */
  readonly path: string
  readonly words: readonly string[]
  readonly flags: readonly string[]
}

export function completionScript(program: Command, shell: Shell): string {
  const entries = entriesOf(program, '')
  return shell === 'bash' ? bashScript(entries) : zshScript(entries)
}

function entriesOf(command: Command, path: string): readonly Entry[] {
  const shown = command.commands.filter(child => !(child as unknown as { _hidden: boolean })._hidden)
  const flags = command.options.flatMap(({ long }: Option) => (long === undefined || long === null ? [] : [long]))
  const entry = {
    path,
    words: [...shown.map(child => child.name()), ...choicesOf(command)],
    flags: [...flags, '--help'],
  }
  return [entry, ...shown.flatMap(child => entriesOf(child, `${path} ${child.name()}`.trim()))]
}

/** Words that the first argument can be. */
function choicesOf(command: Command): readonly string[] {
  return command.registeredArguments.flatMap(argument => argument.argChoices ?? [])
}

function bashScript(entries: readonly Entry[]): string {
  const cases = entries.map(({ path, words, flags }) => `    '${path}') words='${[...words, ...flags].join(' ')}' ;;`)
  return `# bash completion of lagrange: source <(lagrange completion bash)
_lagrange() {
  local current="\${COMP_WORDS[COMP_CWORD]}" path='' word words=''
  for word in "\${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    case "$word" in
      -*) ;;
      *) case " ${paths(entries)} " in *" \${path:+$path/}$word "*) path="\${path:+$path/}$word" ;; esac ;;
    esac
  done
  case "\${path//\\// }" in
${cases.join('\n')}
  esac
  COMPREPLY=($(compgen -W "$words" -- "$current"))
}
complete -o default -F _lagrange lagrange
`
}

/** `path` and `words` are zsh's own. */
function zshScript(entries: readonly Entry[]): string {
  const cases = entries.map(({ path, words, flags }) => `    '${path}') found=(${[...words, ...flags].join(' ')}) ;;`)
  return `#compdef lagrange
# zsh completion of lagrange: source <(lagrange completion zsh)
_lagrange() {
  local place='' word
  local -a given found
  given=("\${(@)words[2,CURRENT-1]}")
  for word in $given; do
    [[ $word == -* ]] && continue
    case " ${paths(entries)} " in *" \${place:+$place/}$word "*) place="\${place:+$place/}$word" ;; esac
  done
  case "\${place//\\// }" in
${cases.join('\n')}
  esac
  compadd -a found || _files
}
compdef _lagrange lagrange
`
}

/** All paths in one line, with slashes: `config config/check`. */
function paths(entries: readonly Entry[]): string {
  return entries
    .map(({ path }) => path.replaceAll(' ', '/'))
    .filter(path => path !== '')
    .join(' ')
}
