import { describe, expect, test } from 'vitest'
import { redisExporterText } from '../../../src/metrics/redis-exporter.js'

const lines = (info: string): readonly string[] =>
  redisExporterText(info.replaceAll('\n', '\r\n'))
    .split('\n')
    .filter(line => line !== '' && !line.startsWith('#'))

describe('INFO as redis_exporter names it', () => {
  test('numbers, links, replicas, commands, databases', () => {
    const text = lines(`# Server
redis_version:7.0.15
run_id:abc
redis_mode:standalone
role:slave
connected_clients:3
master_host:10.0.0.1
master_port:6379
master_link_status:up
slave_repl_offset:42
slave0:ip=10.0.0.3,port=6380,state=online,offset=40,lag=1
cmdstat_get:calls=7,usec=14,usec_per_call=2.00,rejected_calls=1,failed_calls=2
errorstat_WRONGTYPE:count=2
db0:keys=5,expires=1,avg_ttl=1500
used_memory:1024
used_memory_human:1K`)
    expect(text).toEqual(
      expect.arrayContaining([
        'redis_up 1',
        'redis_instance_info{role="slave",redis_version="7.0.15",redis_build_id="",redis_mode="standalone",os="",run_id="abc",tcp_port="",process_id="",maxmemory_policy=""} 1',
        'redis_connected_clients 3',
        'redis_master_link_up{master_host="10.0.0.1",master_port="6379"} 1',
        'redis_slave_repl_offset{master_host="10.0.0.1",master_port="6379"} 42',
        'redis_connected_slave_offset_bytes{slave_ip="10.0.0.3",slave_port="6380",slave_state="online"} 40',
        'redis_connected_slave_lag_seconds{slave_ip="10.0.0.3",slave_port="6380",slave_state="online"} 1',
        'redis_commands_total{cmd="get"} 7',
        'redis_commands_duration_seconds_total{cmd="get"} 0.000014',
        'redis_commands_failed_calls_total{cmd="get"} 2',
        'redis_errors_total{err="WRONGTYPE"} 2',
        'redis_db_keys{db="db0"} 5',
        'redis_db_avg_ttl_seconds{db="db0"} 1.5',
        'redis_memory_used_bytes 1024',
      ]),
    )
    expect(text.join()).not.toContain('human')
  })

  test('a sentinel', () => {
    expect(lines('sentinel_tilt:0\nmaster0:name=main,status=odown,address=10.0.0.1:6379,slaves=2,sentinels=3')).toEqual(
      expect.arrayContaining([
        'redis_sentinel_tilt 0',
        'redis_sentinel_master_status{master_name="main",master_address="10.0.0.1:6379",master_status="odown"} 1',
        'redis_sentinel_master_slaves{master_name="main",master_address="10.0.0.1:6379"} 2',
        'redis_sentinel_master_sentinels{master_name="main",master_address="10.0.0.1:6379"} 3',
      ]),
    )
  })

  test('what is no number is left out, what would break a line is escaped', () => {
    const text = lines('connected_clients:many\nused_memory:\nerrorstat_A"B\\C:count=1')
    expect(text.join()).not.toContain('connected_clients')
    expect(text).toContain('redis_errors_total{err="A\\"B\\\\C"} 1')
  })
})
