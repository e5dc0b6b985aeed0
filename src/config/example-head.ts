/** The first lines of config/proxy.yaml. */
export const exampleHead = `The configuration of \`lagrange proxy -c config/proxy.yaml\`.

Every option is here with its default; a file needs only what it changes. The environment overrides the file, and
flags override both. \`lagrange proxy --check-config\` tells every mistake with its line, \`--print-config\` what is in
force. SIGHUP reads the file again.

This file is generated from src/config/schema.ts; the tests keep it current.`
