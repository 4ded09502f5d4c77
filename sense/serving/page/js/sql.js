// SQL for display: coloured, with line breaks before the clauses of a long text, and with its differences from another text marked.

const KEYWORDS = new Set(
  (
    "ALL AND AS ASC BETWEEN BY CASE CAST COLLATE CROSS CURRENT DESC DISTINCT ELSE END ESCAPE EXCEPT EXISTS FALSE FILTER FIRST FOLLOWING FROM " +
    "FULL GLOB GROUP HAVING ILIKE IN INNER INTERSECT IS JOIN LAST LEFT LIKE LIMIT NATURAL NOT NULL NULLS OFFSET ON OR ORDER OUTER OVER " +
    "PARTITION PRECEDING RANGE RECURSIVE REGEXP RIGHT ROW ROWS SELECT THEN TRUE UNBOUNDED UNION USING VALUES WHEN WHERE WINDOW WITH"
  ).split(" "),
);
const CLAUSES = new Set(
  "FROM WHERE GROUP HAVING ORDER LIMIT UNION INTERSECT EXCEPT JOIN LEFT RIGHT FULL INNER CROSS NATURAL".split(" "),
);
const JOINING = new Set("LEFT RIGHT FULL INNER CROSS NATURAL OUTER".split(" "));
const LONG = 64; // characters from which a text on one line gets line breaks
const SCROLLS = 1000; // characters from which a text may need to scroll

const TOKEN =
  /(\s+)|(--[^\n]*|\/\*[^]*?(?:\*\/|$))|('(?:[^']|'')*(?:'|$))|("[^"]*(?:"|$)|`[^`]*(?:`|$)|\[[^\]]*(?:\]|$))|(\d[\w.]*|\.\d+)|([\p{L}_][\p{L}\p{N}_$]*)|([^])/gu;
const KINDS = ["space", "comment", "text", "name", "number", "word", "mark"];

function tokensOf(sql) {
  const found = [];
  let depth = 0;
  for (const match of sql.matchAll(TOKEN)) {
    const text = match[0];
    let kind = KINDS[match.slice(1).findIndex((group) => group !== undefined)];
    if (kind === "word" && KEYWORDS.has(text.toUpperCase())) kind = "keyword";
    if (text === ")") depth -= 1;
    found.push({ text, kind, depth });
    if (text === "(") depth += 1;
  }
  for (let at = 0; at < found.length - 1; at += 1) {
    if (found[at].kind === "word" && found[at + 1].text === "(") found[at].kind = "call";
  }
  return found;
}

/** The indexes of the spaces that become line breaks: those before the clauses of a long text without line breaks. */
function breaks(tokens, sql) {
  const found = new Set();
  if (sql.length <= LONG || sql.trim().includes("\n")) return found;
  for (let at = 1; at < tokens.length - 1; at += 1) {
    const next = tokens[at + 1].text.toUpperCase();
    if (tokens[at].kind !== "space" || tokens[at + 1].kind !== "keyword" || tokens[at + 1].depth > 0) continue;
    if (CLAUSES.has(next) && !JOINING.has(tokens[at - 1].text.toUpperCase())) found.add(at);
  }
  return found;
}

/** The nodes of a SQL text. `pieces` ({text, same}) make up the text; those that are not the same are marked with `mark` (ins or del). */
function sqlNodes(sql, pieces = null, mark = "") {
  const clean = shown(sql);
  const tokens = tokensOf(clean);
  const broken = breaks(tokens, clean);
  const ends = [];
  let end = 0;
  for (const piece of pieces ?? []) ends.push({ end: (end += shown(piece.text).length), same: piece.same });
  const root = el("span");
  let into = root;
  let at = 0;
  let piece = 0;
  const enter = () => {
    into = ends[piece] && !ends[piece].same ? root.appendChild(el(mark)) : root;
  };
  enter();
  tokens.forEach((token, number) => {
    let rest = broken.has(number) ? "\n" : token.text;
    let left = token.text.length;
    while (left > 0) {
      const room = piece < ends.length ? Math.min(left, ends[piece].end - at) : left;
      const part = broken.has(number) ? rest : rest.slice(0, room);
      if (part) into.append(token.kind === "space" || token.kind === "mark" ? part : el(`span.t-${token.kind}`, {}, part));
      rest = broken.has(number) ? "" : rest.slice(room);
      left -= room;
      at += room;
      if (piece < ends.length && at >= ends[piece].end) {
        piece += 1;
        enter();
      }
    }
  });
  return [...root.childNodes];
}

/** A block of SQL with a title and, if it may be copied, a button that copies it. */
function sqlBlock(sql, { title = "", pieces = null, mark = "", copy = false } = {}) {
  const code = el(
    "pre.sql",
    sql.length > SCROLLS ? { tabindex: "0", role: "region", "aria-label": title || "SQL" } : {},
    el("code", {}, ...sqlNodes(sql, pieces, mark)),
  );
  if (!title && !copy) return code;
  const button = el("button.quiet", { type: "button", onclick: () => copyText(sql, button) }, "Copy");
  return el("div.block", {}, el("div.block-head", {}, el("span.label", {}, title), copy ? button : null), code);
}

async function copyText(text, button) {
  try {
    await navigator.clipboard.writeText(text);
    button.textContent = "Copied";
    say("Copied");
  } catch {
    const range = document.createRange(); // there is no clipboard over plain HTTP: select the text, so that the person can copy it
    range.selectNodeContents(button.closest(".block").querySelector("code"));
    getSelection().removeAllRanges();
    getSelection().addRange(range);
    button.textContent = "Selected";
    say("Selected; press Ctrl C to copy");
  }
  setTimeout(() => {
    button.textContent = "Copy";
  }, 2000);
}
