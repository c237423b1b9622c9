// What went wrong, in a sentence for a person to read. Errors of the client say more, for whoever develops the page.

/** What happened, without what a developer may do about it. */
export const sentence = (error: unknown): string => {
  const text = error instanceof Error ? error.message : String(error);
  const what = text.replace(/; [^;]* \[\d+ \w+\]$/, "").replace(/^the server's application refused the call: /, "").trim();
  return `${what.slice(0, 1).toUpperCase()}${what.slice(1)}${/[.!?]$/.test(what) ? "" : "."}`;
};
