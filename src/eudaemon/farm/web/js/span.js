// The chooser of the span of time that a view covers.
import { html } from "./lib.js";
import { SPANS, useSpan } from "./state.js";

export function SpanChooser() {
  const [span, choose] = useSpan();
  return html`<label class="inline span-chooser"><span class="sr">Span of time</span><select value=${span} onChange=${(event) => choose(event.target.value)}>${SPANS.map(([value, label]) => html`<option key=${value} value=${value}>${label}</option>`)}</select></label>`;
}
