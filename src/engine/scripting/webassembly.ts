/**
 * The little of the WebAssembly API that is used; Node's own types leave it to the browser's.
 */
declare global {
  namespace WebAssembly {
    type Imports = Record<string, Record<string, (...args: number[]) => number | void>>

    class Module {
      constructor(bytes: Uint8Array)
      static imports(module: Module): readonly { readonly module: string; readonly name: string }[]
    }

    class Instance {
      constructor(module: Module, imports: Record<string, Record<string, unknown>>)
      readonly exports: Readonly<Record<string, unknown>>
    }

    interface Memory {
      readonly buffer: ArrayBuffer
      grow(pages: number): number
    }

    interface Table {
      get(index: number): (...args: number[]) => number
      set(index: number, value: unknown): void
      grow(count: number): number
    }
  }
}

export {}
