// Makes the snippet that browsers get, and its source map: node build.mjs FOLDER
import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { join } from "node:path";
import { minify } from "terser";

const source = readFileSync(fileURLToPath(new URL("t.js", import.meta.url)), "utf8");
// one keyword for all variables compresses better than two; with the spaces, the places in the source map stay right
const { code, map } = await minify({ "t.js": source.replace(/\bconst\b/g, "let  ") }, {
  ecma: 2020,
  // of the options tried, these gave the smallest gzip
  compress: {
    ecma: 2020, passes: 2, booleans_as_integers: true, keep_fargs: false, pure_getters: true,
    unsafe: true, unsafe_arrows: true, unsafe_methods: true,
  },
  mangle: true,
  toplevel: true,
  format: { comments: false },
  sourceMap: { filename: "t.js" }, // the edge's header SourceMap says where it is
});
writeFileSync(join(process.argv[2], "t.js"), code);
writeFileSync(join(process.argv[2], "t.js.map"), JSON.stringify({ ...JSON.parse(map), sourcesContent: [source] }));
