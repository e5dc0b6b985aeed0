/**
 * `metrics-port`: what this node knows about itself, for Prometheus, at `/metrics`: by our names and by those of
 * redis_exporter. Off by default; in `up` the proxy's page has what matters of it.
 *
 * Everything is read when it is asked for, so that a node without readers pays nothing.
 */
import { createServer, type Server } from 'node:http'
import { redisExporterText } from '../metrics/redis-exporter.js'
import { renderMetrics } from '../metrics/render.js'
import { MetricStore } from '../metrics/store.js'
import { roleWord } from '../replication/link.js'
import { renderInfo } from './info.js'
import type { NodeServer } from './server.js'

/** The name of the only group a node knows of. */
const GROUP = 'main'

export class NodeMetrics {
  readonly #store = new MetricStore()
  #http: Server | undefined

  constructor(private readonly server: NodeServer) {
    this.#store.beforeSnapshot(() => this.#read())
  }

  /** Throws what `listen` throws. */
  async listen(host: string, port: number): Promise<void> {
    const http = createServer((request, response) => {
      if (request.method !== 'GET' || request.url?.split('?', 1)[0] !== '/metrics') {
        response.writeHead(404, { 'content-type': 'text/plain' }).end('see /metrics\n')
        return
      }
      this.render().then(
        text => response.writeHead(200, { 'content-type': 'text/plain; version=0.0.4; charset=utf-8' }).end(text),
        () => response.writeHead(500).end(),
      )
    })
    await new Promise<void>((ready, refuse) => {
      http.once('error', refuse)
      http.listen(port, host, ready)
    })
    this.#http = http
  }

  close(): void {
    this.#http?.close()
    this.#http?.closeAllConnections()
  }

  async render(): Promise<string> {
    const { server } = this
    const info = server.mode?.info() ?? renderInfo(server, ['everything'])
    return `${await renderMetrics([this.#store.snapshot()])}\n${redisExporterText(info)}`
  }

  #read(): void {
    const { server } = this
    const { repl, follower, stats } = server
    const labels = { group: GROUP, node: `${server.address}` }
    const set = (name: Parameters<MetricStore['gauge']>[0], value: number, more: Record<string, string> = {}): void => {
      this.#store.gauge(name, { ...labels, ...more }).value = value
    }
    set('lagrange_node_up', 1)
    for (const role of ['master', 'replica']) set('lagrange_node_role', server.role === role ? 1 : 0, { role })
    set('lagrange_node_repl_offset_bytes', repl.log.offset)
    set('lagrange_repl_backlog_size_bytes', repl.log.capacity)
    set('lagrange_repl_backlog_history_bytes', repl.log.backlog?.length ?? 0)
    set('lagrange_node_memory_used_bytes', server.memory.countedBytes)
    set('lagrange_node_memory_limit_bytes', server.config.number('maxmemory'))
    set('lagrange_node_keys', server.memory.keyCount)
    this.#store.counter('lagrange_node_keys_evicted_total', labels).value = server.engine.stats.evicted
    this.#store.counter('lagrange_node_keys_expired_total', labels).value = server.engine.stats.expired
    set('lagrange_replica_resyncs_total', stats.syncFull, { type: 'full' })
    set('lagrange_replica_resyncs_total', stats.syncPartialOk, { type: 'partial' })
    set('lagrange_replica_resyncs_total', stats.syncPartialErr, { type: 'partial_refused' })
    if (follower !== undefined) {
      set('lagrange_replica_link_up', follower.connected ? 1 : 0)
      set('lagrange_replica_sync_in_progress', roleWord(follower.link) === 'sync' ? 1 : 0)
      set(
        'lagrange_replica_last_io_timestamp_seconds',
        (server.clock.wall() - (server.clock.now() - follower.lastIoAt)) / 1000,
      )
    }
    server.mode?.report(this.#store)
    const listener = { listener: 'node' }
    this.#store.gauge('lagrange_client_connections', listener).value = server.clients.size
    this.#store.counter('lagrange_client_connections_opened_total', listener).value = stats.connectionsReceived
    this.#store.counter('lagrange_client_received_bytes_total', listener).value = stats.inputBytes
    this.#store.counter('lagrange_client_sent_bytes_total', listener).value = server.sentBytes()
    for (const { id, name } of this.server.table.specs) {
      const calls = stats.calls[id] as number
      if (calls === 0) continue
      const command = { group: GROUP, command: name, target: server.role }
      this.#store.counter('lagrange_commands_total', command).value = calls
    }
  }
}
