// A text/event-stream read from a fetch: a header can carry the token, which EventSource cannot.

/**
 * @param {ReadableStream<Uint8Array>} body
 * @yields {{id: string|null, name: string, data: Object}}
 */
export async function* eventsOf(body) {
  const reader = body.getReader();
  const decoder = new TextDecoder();
  let buffer = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    buffer += decoder.decode(value, { stream: true }).replaceAll("\r\n", "\n");
    const blocks = buffer.split("\n\n");
    buffer = blocks.pop();
    for (const block of blocks) {
      const event = parsed(block);
      if (event) yield event;
    }
  }
}

function parsed(block) {
  const event = { id: null, name: "message", data: null };
  const data = [];
  for (const line of block.split("\n")) {
    const cut = line.indexOf(":");
    // a line that starts with a colon is a sign of life
    if (cut < 1) continue;
    const value = line.slice(cut + 1).replace(/^ /, "");
    const field = line.slice(0, cut);
    if (field === "id") event.id = value;
    else if (field === "event") event.name = value;
    else if (field === "data") data.push(value);
  }
  if (!data.length) return null;
  event.data = JSON.parse(data.join("\n"));
  return event;
}
