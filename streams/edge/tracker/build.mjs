// Makes the snippet that browsers get, and its source map: node build.mjs FOLDER
import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { join } from "node:path";
import { minify } from "terser";

// one keyword for all variables compresses better than two; the positions in the source map stay right by the spaces
const source = readFileSync(fileURLToPath(new URL("t.js", import.meta.url)), "utf8").replace(/\bconst\b/g, "let  ");
const { code, map } = await minify({ "t.js": source }, {
  ecma: 2020,
  // of the options tried, these gave the smallest gzip
  compress: {
    ecma: 2020, passes: 2, conditionals: false, booleans_as_integers: true, keep_fargs: false, pure_getters: true,
    unsafe: true, unsafe_arrows: true, unsafe_comps: true, unsafe_methods: true,
  },
  mangle: true,
  toplevel: true,
  format: { comments: false },
  sourceMap: { filename: "t.js", includeSources: true }, // the edge's header SourceMap says where it is
});
writeFileSync(join(process.argv[2], "t.js"), code);
writeFileSync(join(process.argv[2], "t.js.map"), map);
