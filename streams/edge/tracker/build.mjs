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
M t ot E e p j R en b a u et F T s i A _ n tn x rt ld $ g B h I Ia ut Y X P w tr C ll q tt se D L Hs sl y th tl l te
ol le to cl tp _e hl ou ul lt ae o d re up de er he ao la k lr r el S v es m pe O f me lo lu bh ta at lf ch H lp ly c
ci ne ee li sa ea N go po ln t e t e t e l t t t t t t t u o t t a u tp at u t e u et F T l t a t e l m l t t a f at t
l t t t t t e t e t u t t t e l u t a t a u t l t t e l o l e t l a e l t t e a p e o d t a t l e y F T w $ o s a n t
t l e t a t t t _ l w t t t e a t a t a l a t t a a a l e t e $ o`.trim().split(/\s+/);
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
