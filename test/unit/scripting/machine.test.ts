/**
 * The Lua machine by itself, with a host that only answers: what a script can reach, what it costs, and how it ends.
 */
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { describe, expect, test } from 'vitest'
import type { Bytes } from '../../../src/base/units.js'
import { Machine } from '../../../src/engine/scripting/machine.js'
import { EVERYWHERE, type ScriptHost, type ScriptRun } from '../../../src/engine/scripting/run.js'
import { Rand48 } from '../../../src/engine/scripting/sandbox.js'
import { Encoder } from '../../../src/resp/encoder.js'

const library = dirname(createRequire(import.meta.url).resolve('wasmoon-lua5.1'))
const module = new WebAssembly.Module(readFileSync(join(library, 'liblua5.1.wasm')))

class Host implements ScriptHost {
  readonly version = '7.0.15'
  readonly calls: (readonly Bytes[])[] = []
  readonly warnings: Bytes[] = []
  /** Asked so many times before the script has to end. */
  patience = Number.POSITIVE_INFINITY
  counted = 0
  call: ScriptHost['call'] = (args, _run, reply) => {
    this.calls.push(args)
    if (args[0] === 'FAIL') reply.error('ERR failed')
    else if (args[0] === 'BIG') reply.bulk('x'.repeat(Number(args[1])))
    else reply.ok()
    return true
  }
  mayCall = (): boolean => true
  interrupt = (): Bytes | undefined => (this.patience-- > 0 ? undefined : 'it took too long')
  log: ScriptHost['log'] = (_level, text) => void this.warnings.push(text)
  countError = (): void => void this.counted++
  errorWasCounted = (): void => undefined
  seconds = (): number => 12.5
}

function newRun(): ScriptRun {
  return {
    name: 'test',
    kind: 'eval',
    startedAt: 0,
    readOnly: false,
    flags: undefined,
    debugger: undefined,
    resp: 2,
    replicate: EVERYWHERE,
    wrote: false,
    killed: false,
    killedBy: undefined,
  }
}

class Bench {
  readonly host = new Host()
  readonly machine = new Machine(this.host, { module, kind: 'eval', seed: 1 })

  run(code: string, args: readonly Bytes[] = [], run = newRun()): string {
    const compiled = this.machine.compile(code, '@user_script')
    if ('error' in compiled) return `-${compiled.error}`
    const reply = new Encoder(2)
    this.machine.call(compiled.ref, { keys: [], args, as: 'globals' }, run, reply)
    if (!this.machine.broken) this.machine.release(compiled.ref)
    return reply.view().toString('latin1').replaceAll('\r\n', ' ').trim()
  }
}

test('bytes go in and out as they are', () => {
  const bench = new Bench()
  const all = String.fromCharCode(...Array.from({ length: 256 }, (_, code) => code))
  for (const text of ['', 'a', all, all.repeat(400)]) {
    expect(
      bench.run('return #ARGV[1] == tonumber(ARGV[2]) and redis.call("X", ARGV[1]) and ARGV[1]', [
        text,
        String(text.length),
      ]),
    ).toBe(`$${text.length}\r\n${text}\r\n`.replaceAll('\r\n', ' ').trim())
    expect(bench.host.calls.at(-1)).toEqual(['X', text])
  }
})

describe('what a script cannot do:', () => {
  const bench = new Bench()
  for (const [what, code] of [
    ['keep anything for the next one', 'rawset(getmetatable("").__index, "x", 1)'],
    ['change a library through its metatable', 'getmetatable(string).__index.rep = nil'],
    ['change all globals through pairs', 'for k, v in pairs(_G) do if k == "string" then v.rep = nil end end'],
    ['reach the real table through next', 'local k, v = next(_G) rawset(_G, k, 1)'],
    ['replace a method of all texts', 'local m = getmetatable("") m.__index = function() return 1 end'],
    ['undo the protection', 'setmetatable(_G, nil)'],
    ['load bytecode', 'return loadstring("\\27Lua\\81\\0\\1\\4\\4\\4\\8\\0")()'],
    ['load bytecode in pieces', 'local n = 0 return load(function() n = n + 1 return ({"\\27", "Lua", nil})[n] end)()'],
    ['insert into a library', 'table.insert(cjson, 1)'],
  ] as const) {
    test(what, () => {
      expect(bench.run(code)).toMatch(/^-ERR /)
      expect(bench.run('return ("ab"):rep(2) .. string.rep("c", 2) .. cjson.encode({1})')).toBe('$9 ababcc[1]')
      expect(bench.machine.broken).toBe(false)
    })
  }

  test('find files, processes, or modules', () => {
    for (const name of ['io', 'debug', 'package', 'require', 'loadfile', 'dofile', 'print', 'newproxy', 'setfenv']) {
      expect(bench.run(`return ${name}`)).toContain(`nonexistent global variable '${name}'`)
    }
    expect(bench.run('return {os.clock() * 2, os.time == nil, os.getenv == nil}')).toBe('*3 :25 :1 :1')
  })

  test('change what pairs hands out of a library', () => {
    expect(bench.run('local f, t = pairs(string) t.rep = 1 return ("a"):rep(2)')).toBe('$2 aa')
  })
})

describe('what does not end, or not well:', () => {
  for (const [what, code] of [
    ['a loop', 'while true do end'],
    ['a loop that catches errors', 'while true do pcall(function() while true do end end) end'],
    ['a loop in a coroutine', 'while true do coroutine.wrap(function() while true do end end)() end'],
    ['a loop of calls', 'while true do redis.call("PING") end'],
    [
      'a loop in an error handler',
      'xpcall(function() error() end, function() while true do end end) while true do end',
    ],
    ['a comparison that never ends', 'table.sort({3, 2, 1, 5, 4}, function() while true do end end)'],
  ] as const) {
    test(`${what} is ended`, () => {
      const bench = new Bench()
      bench.host.patience = 3
      expect(bench.run(code)).toMatch(/^-ERR it took too long/)
      bench.host.patience = Number.POSITIVE_INFINITY
      expect(bench.run('local n = 0 for i = 1, 1000000 do n = n + 1 end return n')).toBe(':1000000')
    })
  }

  for (const [what, code] of [
    ['a long text', 'return #string.rep("x", 2^31 - 10)'],
    ['a text that doubles', 'local s = "x" while true do s = s .. s end'],
    ['a table that grows', 'local s = ("x"):rep(1000000) local t = {} while true do t[#t + 1] = s .. #t end'],
    ['replies that are kept', 'local t = {} while true do t[#t + 1] = redis.call("BIG", 10000000 + #t) end'],
    ['a reply larger than the machine', 'return redis.call("BIG", 300000000)'],
  ] as const) {
    test(`memory: ${what}`, () => {
      const bench = new Bench()
      expect(bench.run(code)).toMatch(/not enough memory|resulting string too large|string length overflow/)
      const fresh = bench.machine.broken ? new Bench() : bench
      expect(fresh.run('return 1')).toBe(':1')
    })
  }

  for (const [what, code] of [
    ['calls', 'local function f(n) return 1 + f(n + 1) end return f(1)'],
    ['protected calls', 'local function f() return pcall(f) end f() error("done")'],
    ['coroutines', 'local function f() return coroutine.wrap(f)() end return f()'],
    ['parentheses', `return loadstring("return " .. ("("):rep(100000))()`],
    ['patterns', 'return string.find(("a"):rep(300000), ("a?"):rep(300000) .. "b")'],
    ['JSON', 'cjson.decode_max_depth(1000000) return cjson.decode(("["):rep(100000))'],
    [
      'JSON to be written',
      'cjson.encode_max_depth(1000000) local t = {} for i = 1, 100000 do t = {t} end return cjson.encode(t)',
    ],
    ['MessagePack', 'return cmsgpack.unpack(("\\145"):rep(100000))'],
    ['replies', 'local t = {} for i = 1, 100000 do t = {t} end return t'],
    ['metatables', 'local t = {} for i = 1, 10000 do t = setmetatable({}, {__index = t}) end return t.x'],
  ] as const) {
    test(`depth: ${what}`, () => {
      const bench = new Bench()
      expect(bench.run(code)).toMatch(/-ERR /)
      const fresh = bench.machine.broken ? new Bench() : bench
      expect(fresh.run('return ("a"):rep(2)')).toBe('$2 aa')
    })
  }
})

test('errors name the line they were raised in, through the libraries above it', () => {
  const bench = new Bench()
  expect(bench.run('\n\nredis.call("FAIL")')).toBe('-ERR failed script: test, on @user_script:3.')
  expect(bench.run('local t = nil\nreturn t.x')).toBe(
    "-ERR user_script:2: attempt to index local 't' (a nil value) script: test, on @user_script:2.",
  )
  expect(bench.run('return redis.pcall("FAIL").err')).toBe('$10 ERR failed')
  expect(bench.run('error({})')).toBe('-ERR unknown error script: test, on @user_script:1.')
})

test('ten thousand scripts leave nothing behind', () => {
  const bench = new Bench()
  const used = () => {
    bench.run('collectgarbage() return 1')
    return bench.machine.usedBytes
  }
  for (let index = 0; index < 1000; index++) bench.run(`return {ARGV[1], redis.call("X", ${index})}`, ['y'])
  const before = used()
  for (let index = 0; index < 10_000; index++) bench.run(`local t = {${index}} redis.pcall("FAIL") return t`, ['y'])
  expect(used() - before).toBeLessThan(64 * 1024)
})

test("seeds give POSIX' numbers", () => {
  const random = new Rand48(1)
  // lrand48 after srand48(1), on any machine.
  expect([random.next(), random.next(), random.next()]).toEqual([89400484, 976015093, 1792756325])
})
