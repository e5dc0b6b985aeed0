/**
 * Colours of a terminal. node's own `styleText` looks at standard output by itself; here the caller has decided already.
 */
import { inspect } from 'node:util'

export type Style = 'red' | 'yellow' | 'green' | 'gray' | 'bold'

export function paint(style: Style, text: string): string {
  const [on, off] = inspect.colors[style] ?? [0, 0]
  return `\u001b[${on}m${text}\u001b[${off}m`
}
