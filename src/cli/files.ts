/** Reads what the configuration names. */
import { closeSync, fstatSync, openSync, readFileSync } from 'node:fs'

export function readConfigFile(path: string): string {
  return readFileSync(path, 'utf8')
}

/** A secret that others may read is none: like ssh with its keys, we refuse to use it. */
export function readSecretFile(path: string): string {
  const file = openSync(path, 'r')
  try {
    const { mode } = fstatSync(file)
    if ((mode & 0o077) !== 0) {
      const octal = (mode & 0o777).toString(8).padStart(4, '0')
      throw new Error(`others may read it (mode ${octal}); chmod 600 ${path}`)
    }
    return readFileSync(file, 'utf8')
  } finally {
    closeSync(file)
  }
}
