// Sends what stands in the editor to the service and shows what comes back.
const form = document.querySelector('#call');
const editor = document.querySelector('#request');
const output = document.querySelector('#response');
const status = document.querySelector('#status');
const button = form.querySelector('button');

button.hidden = false;
editor.readOnly = false;

form.addEventListener('submit', async (event) => {
  event.preventDefault();
  button.disabled = true;
  status.textContent = 'Computing …';
  try {
    const response = await fetch(form.dataset.action, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: editor.value,
    });
    const text = await response.text();
    output.textContent = indent(text);
    const timing = response.headers.get('server-timing');
    status.textContent = `${response.status} ${response.ok ? 'OK' : 'refused'}${timing ? ` · ${timing}` : ''}`;
  } catch (error) {
    status.textContent = `The service could not be reached: ${error.message}`;
  } finally {
    button.disabled = false;
  }
});

editor.addEventListener('keydown', (event) => {
  if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) form.requestSubmit();
});

/** JSON with an indent, and arrays of numbers on one line. */
function indent(text) {
  try {
    return JSON.stringify(JSON.parse(text), null, 2).replaceAll(/\[[^[\]{}]*\]/g, (array) =>
      array.replaceAll(/\s+/g, ' '),
    );
  } catch {
    return text;
  }
}
