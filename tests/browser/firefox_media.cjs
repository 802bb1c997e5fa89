// Playwright sets the colour scheme of each new context with a BiDi command that Firefox 153 does not know, and fails.
// Node loads this file before Playwright's driver. It sends a command without effect in its place.
const stringify = JSON.stringify;
JSON.stringify = (value, ...rest) =>
  value?.method === "emulation.setMediaFeaturesOverride"
    ? stringify({ ...value, method: "session.status", params: {} })
    : stringify(value, ...rest);
