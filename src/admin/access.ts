/**
 * Who may do what. A token belongs to a name, which the audit log shows, and has a role; each role may do what the one
 * before may.
 *
 *     read      look at everything but data of users
 *     operate   change masters, drain instances, end sessions; see keys and arguments of commands
 *     admin     accept the loss of data, reload the configuration, read the audit log
 *
 * Tokens come from files: one (`admin.tokenFile`, an admin), or many (`admin.tokensFile`), a line each:
 *
 *     # name   role      token
 *     grafana  read      f2f8…
 *     alice    operate   9ac1…
 */
export const accessRoles = ['read', 'operate', 'admin'] as const
export type AccessRole = (typeof accessRoles)[number]

export interface Grant {
  readonly name: string
  readonly role: AccessRole
  readonly token: string
}

/** Who asks. Without any configured token everybody who can reach us is `anonymous` and may do everything. */
export interface Actor {
  readonly name: string
  readonly role: AccessRole
}

export const anonymous: Actor = { name: 'anonymous', role: 'admin' }

export function mayAct(actor: Actor, needed: AccessRole): boolean {
  return accessRoles.indexOf(actor.role) >= accessRoles.indexOf(needed)
}

/** The single token, and the lines of the file of tokens, which the configuration has checked. */
export function readGrants(token: string, lines: string): readonly Grant[] {
  const single: readonly Grant[] = token === '' ? [] : [{ name: 'token', role: 'admin', token }]
  const many = lines.split('\n').flatMap(line => {
    const [name, role, secret] = line.trim().split(/\s+/)
    if (name === undefined || name === '' || name.startsWith('#') || secret === undefined) return []
    return [{ name, role: role as AccessRole, token: secret }]
  })
  return [...single, ...many]
}
