/** For `node --import`: a disk on which no fsync beside everything else ends while a test runs. */
import fs from 'node:fs'
import { syncBuiltinESMExports } from 'node:module'

const { fdatasync } = fs
fs.fdatasync = (file, done) => void setTimeout(() => fdatasync(file, done), 600_000).unref()
syncBuiltinESMExports()
