// Makes the snippet that browsers get, and its source map: node build.mjs FOLDER
import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { join } from "node:path";
import { minify } from "terser";

const source = readFileSync(fileURLToPath(new URL("t.js", import.meta.url)), "utf8");
const { code, map } = await minify({ "t.js": source }, {
  ecma: 2017,
  compress: { ecma: 2017, passes: 3, unsafe_arrows: true, unsafe_methods: true, keep_fargs: false, pure_getters: true },
  mangle: true,
  toplevel: true,
  format: { comments: false },
  sourceMap: { filename: "t.js", url: "t.js.map", includeSources: true },
});
writeFileSync(join(process.argv[2], "t.js"), code);
writeFileSync(join(process.argv[2], "t.js.map"), map);
