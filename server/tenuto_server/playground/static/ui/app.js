// @ts-check
/** The frame: the bar at the top, the view below it, and what is in the way of the server. */
import { html, useEffect } from "../vendor/htm-preact.js";
import { connect } from "../api.js";
import { store, useStore } from "../store.js";
import { BudgetPanel } from "./budget_panel.js";
import { ChatView } from "./chat_view.js";
import { CompareView } from "./compare_view.js";
import { ConversationList } from "./conversation_list.js";
import { Icon } from "./icon.js";
import { KeyForm } from "./key_form.js";
import { ScalingView } from "./scaling_view.js";

const VIEWS = /** @type {const} */ ([
  ["chat", "Chat"],
  ["compare", "Compare"],
  ["scaling", "Scaling"],
]);
const THEMES = /** @type {const} */ (["system", "light", "dark"]);

export function App() {
  const view = useStore((state) => state.view);
  const connection = useStore((state) => state.connection);
  const isBudgetShown = useStore((state) => state.isBudgetShown);
  const isListShown = useStore((state) => state.isListShown);
  const hasServer = useStore((state) => state.server !== null);
  useEffect(followKeys, []);
  return html`
    <a class="skip" href="#main">Skip to the conversation</a>
    <${TopBar} />
    <${Trouble} />
    ${
      connection === "needs key"
        ? html`<main id="main" class="centred"><${KeyForm} /></main>`
        : html`<div class="columns" data-view=${view} data-list=${isListShown ? "shown" : ""}
          data-budget=${isBudgetShown ? "shown" : ""}>
            ${view === "chat" && html`<${ConversationList} />`}
            <main id="main" tabindex="-1">
              ${!hasServer && html`<p class="waiting-for-server" role="status">Connecting to the server…</p>`}
              ${hasServer && view === "chat" && html`<${ChatView} />`}
              ${hasServer && view === "compare" && html`<${CompareView} />`}
              ${hasServer && view === "scaling" && html`<${ScalingView} />`}
            </main>
            ${hasServer && html`<${BudgetPanel} />`}
            ${(isListShown || isBudgetShown) && html`<div class="scrim" onClick=${closeDrawers}></div>`}
          </div>`
    }
    <${Announcement} />
  `;
}

function closeDrawers() {
  store.set({ isBudgetShown: false, isListShown: false });
}

function followKeys() {
  /** @param {KeyboardEvent} event */
  const close = (event) => event.key === "Escape" && closeDrawers();
  addEventListener("keydown", close);
  return () => removeEventListener("keydown", close);
}

function TopBar() {
  const view = useStore((state) => state.view);
  const theme = useStore((state) => state.preferences.theme);
  const isBudgetShown = useStore((state) => state.isBudgetShown);
  const isListShown = useStore((state) => state.isListShown);
  const changeTheme = () => {
    const next = THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length];
    store.set({ preferences: { ...store.value.preferences, theme: next } });
  };
  return html`
    <header class="top">
      ${
        view === "chat" &&
        html`<button class="icon only-narrow" aria-label="Conversations" aria-expanded=${isListShown}
          onClick=${() => store.set({ isListShown: !isListShown, isBudgetShown: false })}><${Icon}
          name="list" /></button>`
      }
      <div class="brand"><${Icon} name="mark" /><span>Tenuto</span></div>
      <nav aria-label="Views">
        ${VIEWS.map(
          ([name, label]) =>
            html`<button key=${name} class="tab" aria-current=${view === name ? "page" : undefined}
              onClick=${() => store.set({ view: name, isListShown: false })}>${label}</button>`,
        )}
      </nav>
      <div class="spacer"></div>
      <${ModelChoice} />
      <button class="icon" aria-label=${`Theme: ${theme}`} title=${`Theme: ${theme}`} onClick=${changeTheme}><${Icon}
        name=${`theme-${theme}`} /></button>
      <button class="icon only-medium" aria-label="Budget" aria-expanded=${isBudgetShown}
        onClick=${() => store.set({ isBudgetShown: !isBudgetShown, isListShown: false })}><${Icon}
        name="sliders" /></button>
    </header>
  `;
}

function ModelChoice() {
  const server = useStore((state) => state.server);
  const model = useStore((state) => state.model);
  if (!server) return null;
  if (server.models.length === 1) return html`<span class="model" title="The served model">${model}</span>`;
  return html`<select class="model" aria-label="Model" value=${model}
    onChange=${(/** @type {any} */ event) => store.set({ model: event.target.value })}>
    ${server.models.map(({ id }) => html`<option key=${id} value=${id}>${id}</option>`)}
  </select>`;
}

/** A line for what stands between the page and the server. */
function Trouble() {
  const connection = useStore((state) => state.connection);
  const trouble = useStore((state) => state.trouble);
  if (connection !== "loading" && connection !== "unreachable") return null;
  return html`<div class="trouble" role="alert"><span>${trouble}</span><button class="quiet"
    onClick=${connect}>Try again</button></div>`;
}

function Announcement() {
  const text = useStore((state) => state.announcement);
  return html`<div class="hidden" role="status" aria-live="polite">${text}</div>`;
}
