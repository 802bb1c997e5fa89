// Makes the snippet that browsers get, and its source map: node build.mjs FOLDER
// `node build.mjs --bindings` prints its variables for `python -m streams.proof.snippet_names`, which looks for names.
import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { join } from "node:path";
import { parse } from "acorn";
import { minify } from "terser";

// A name for each variable, in the order in which terser asks for them: gzip makes 4% less of these than of terser's own
// names. A change of the source shifts them: the code stays right, and is larger until the search has run for some minutes.
const NAMES = `
lt t bt w e p F y en q tr a nt u et v m s T S _ n x P pl ll i D h C W ak to b tt g ed k an st sh se $ L j sp ut f O tn
l te tp ae th lp tl _e me ou ue lu le de d re lB ME al Me ao ge au M lr r aa E c es tx pe o B U lo eo tO it at ln A jj
I V N rl R ne ee eu ru X go po Mt t e t e t e l t t t u p t t t t t a u l au t t s u et v m a t a t e l t l l a B tl l
t t t t e t e t s t t l t t e a l u e t t s p e t e a t l l t t e l e l t t e a l t t s a p s e d t a t l e u s v m b
o au g a n t l l e t a t t t _ l b a l t t e t e a a l a t a t a a l e t e o a`.trim().split(/\s+/);
const source = readFileSync(fileURLToPath(new URL("t.js", import.meta.url)), "utf8");

function shorten(nextName) {
  // one keyword for all variables compresses better than two; with the spaces, the places in the source map stay right
  return minify({ "t.js": source.replace(/\bconst\b/g, "let  ") }, {
    ecma: 2020,
    // of the options tried, these gave the smallest gzip
    compress: {
      ecma: 2020, passes: 2, booleans_as_integers: true, keep_fargs: false, pure_getters: true,
      unsafe: true, unsafe_arrows: true, unsafe_methods: true,
    },
    mangle: { nth_identifier: { get: nextName } },
    toplevel: true,
    format: { comments: false },
    sourceMap: { filename: "t.js" }, // the edge's header SourceMap says where it is
  });
}

/* Return the code cut at its variables (text, number, text, …), and for each variable those that need another name. */
async function bindings() {
  let count = 0;
  const { code } = await shorten(() => `__${count++}__`);
  const scopes = {}, uses = {};
  const declare = (pattern, scope) => {
    if (pattern?.type === "Identifier") scopes[pattern.name] = scope;
    else for (const part of pattern?.properties || pattern?.elements || []) declare(part?.value || part?.argument || part, scope);
    if (pattern?.left || pattern?.argument) declare(pattern.left || pattern.argument, scope);
  };
  const walk = (node, outer) => {
    if (!node?.type) return;
    if (/^__\d+__$/.test(node.name)) (uses[node.name] ||= []).push(node.start);
    const scope = /Function|^BlockStatement|^For|^CatchClause/.test(node.type) ? node : outer;
    for (const pattern of node.params || []) declare(pattern, scope);
    if (node.type === "CatchClause") declare(node.param, scope);
    for (const { id } of node.declarations || []) declare(id, scope);
    for (const part of Object.values(node).flat()) if (typeof part === "object") walk(part, scope);
  };
  walk(parse(code, { ecmaVersion: 2022 }), { start: 0, end: code.length });
  const names = Array.from({ length: count }, (_, at) => `__${at}__`);
  const inside = (one, other) => one.start >= other.start && one.end <= other.end;
  // two variables clash if one is used where the other hides it; a body's variables clash with the parameters
  const clash = (one, other) => inside(scopes[one], scopes[other]) && (scopes[one].end === scopes[other].end ||
    uses[other].some((at) => at >= scopes[one].start && at < scopes[one].end));
  return {
    parts: code.split(/__(\d+)__/),
    clashes: names.map((one) => names.flatMap((other, at) =>
      one !== other && (clash(one, other) || clash(other, one)) ? [at] : [])),
    names: names.map((_, at) => NAMES[at]),
  };
}

if (process.argv[2] === "--bindings") console.log(JSON.stringify(await bindings()));
else {
  let next = 0;
  const { code, map } = await shorten(() => NAMES[next++] ?? `_${next}`);
  writeFileSync(join(process.argv[2], "t.js"), code);
  writeFileSync(join(process.argv[2], "t.js.map"), JSON.stringify({ ...JSON.parse(map), sourcesContent: [source] }));
}
