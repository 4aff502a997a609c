// @ts-check
/** The page begins here: what was kept, the server's settings, and the parts of the page. */
import { html, render } from "./vendor/htm-preact.js";
import { connect } from "./api.js";
import { keep, restore } from "./storage.js";
import { store } from "./store.js";
import { App } from "./ui/app.js";

const RETRY_AFTER = 3000;

restore();
keep();
applyTheme();
store.follow(applyTheme);
render(html`<${App} />`, /** @type {HTMLElement} */ (document.getElementById("page")));
connectUntilReady();

function applyTheme() {
  document.documentElement.dataset.theme = store.value.preferences.theme;
}

/** While the server loads its model, or is away, ask again. */
async function connectUntilReady() {
  await connect();
  const { connection } = store.value;
  if (connection === "loading" || connection === "unreachable") setTimeout(connectUntilReady, RETRY_AFTER);
}
