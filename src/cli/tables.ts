/** Tables for people, in the manner of patronictl. */
import Table from 'cli-table3'
import type { GroupDescription, MemberDescription, TopologyDescription } from '../admin/model.js'
import { paint } from './paint.js'

const heads = ['Instance', 'Role', 'State', 'Offset', 'Lag bytes', 'Lag ms', 'Link', 'Reads']

const ascii = {
  top: '-',
  'top-mid': '+',
  'top-left': '+',
  'top-right': '+',
  bottom: '-',
  'bottom-mid': '+',
  'bottom-left': '+',
  'bottom-right': '+',
  left: '|',
  'left-mid': '+',
  mid: '-',
  'mid-mid': '+',
  right: '|',
  'right-mid': '+',
  middle: '|',
}

/** A table of texts; numbers are written to the right. */
export function plainTable(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const isNumber = (column: number): boolean =>
    rows.length > 0 && rows.every(row => /^-?[\d.]*$/.test(row[column] ?? ''))
  const table = new Table({
    head: [...head],
    chars: ascii,
    style: { head: [], border: [], compact: true },
    colAligns: head.map((_, column) => (isNumber(column) ? 'right' : 'left')),
  })
  for (const row of rows) table.push([...row])
  return table.toString()
}

/** All groups: a headline and a table each. */
export function topologyTable(topology: TopologyDescription, colour: boolean): string {
  return topology.groups.map(group => groupTable(group, colour)).join('\n')
}

function groupTable(group: GroupDescription, colour: boolean): string {
  const styled = (style: 'red' | 'bold', text: string) => (colour ? paint(style, text) : text)
  const table = new Table({
    head: heads,
    chars: ascii,
    style: { head: [], border: [], compact: true },
    colAligns: ['left', 'left', 'left', 'right', 'right', 'right', 'left', 'left'],
  })
  for (const member of group.members) {
    const row = cells(member)
    table.push(
      row.map(cell => (isBad(member) ? styled('red', cell) : member.role === 'master' ? styled('bold', cell) : cell)),
    )
  }
  const held = group.writesPaused ? ', writes held' : ''
  const state = group.diagnosis === 'ok' && held === '' ? 'ok' : styled('red', group.diagnosis + held)
  const last = group.lastSwitch
  const lastLine = last === null ? '' : `Last ${last.cause}: ${lastSwitchText(last)}\n`
  const about = group.diagnosis === 'ok' || group.about.length === 0 ? '' : ` (${group.about.join(', ')})`
  const failover = group.failover === 'paused' ? `, ${styled('red', 'failover paused')}` : ''
  return `Group ${group.name} (epoch ${group.masterEpoch}): ${state}${about}${failover}\n${table.toString()}\n${lastLine}`
}

function cells(member: MemberDescription): readonly string[] {
  return [
    member.id,
    member.role,
    member.syncInProgress ? 'syncing' : member.health,
    count(member.offset),
    count(member.lagBytes),
    millis(member.lagMs),
    member.linkUp === null ? '' : member.linkUp ? 'up' : 'down',
    member.excluded ?? 'yes',
  ]
}

function isBad(member: MemberDescription): boolean {
  return member.health === 'down' || member.linkUp === false
}

function lastSwitchText(last: NonNullable<GroupDescription['lastSwitch']>): string {
  const stall = last.stallMs === null ? '' : `, writes waited ${millis(last.stallMs)} ms`
  return `${new Date(last.at).toISOString()} ${last.from ?? 'nobody'} -> ${last.to}${stall}`
}

function count(value: number | null): string {
  return value === null ? '' : String(Math.round(value))
}

export function millis(value: number | null): string {
  if (value === null) return ''
  return value < 100 ? String(Number(value.toFixed(1))) : String(Math.round(value))
}
