/** Stand-ins for the APIs of two makers of language models: streamed answers as server-sent events, and the keys they were sent. */
import type { IncomingMessage, ServerResponse } from "node:http";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import type { Identity } from "./authority.ts";

export interface LlmService {
  readonly address: string;
  /** Host and key of every request, in order. */
  readonly seen: readonly { readonly host: string; readonly key: string; readonly client: string }[];
  close(): Promise<void>;
}

const words = ["Hello", " from", " the", " stand-in"];

export async function startLlmService(identity: Identity): Promise<LlmService> {
  const seen: { host: string; key: string; client: string }[] = [];
  const server = createServer({ ...identity }, (request, response) => {
    const { headers } = request;
    const key = String(headers["x-api-key"] ?? headers.authorization ?? "").replace("Bearer ", "");
    seen.push({ host: headers.host ?? "", key, client: headers["user-agent"] ?? "" });
    request.resume().once("end", () => void answer(request, response, key));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    address: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    seen,
    async close() {
      const closed = new Promise((resolve) => server.close(resolve));
      server.closeAllConnections();
      await closed;
    },
  };
}

/** Both APIs quote the key in one of their fields: services do so in error messages and in debugging headers. */
async function answer(request: IncomingMessage, response: ServerResponse, key: string): Promise<void> {
  const messages = request.url?.endsWith("/messages") === true;
  response.writeHead(200, { "content-type": "text/event-stream", "request-id": `for-${key}` });
  for (const event of messages ? messageEvents(key) : completionEvents(key)) {
    response.write(event);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  response.end();
}

function completionEvents(key: string): string[] {
  const chunk = (delta: object, finish: string | null): string =>
    `data: ${JSON.stringify({ id: "chatcmpl-1", object: "chat.completion.chunk", created: 1, model: "stand-in", system_fingerprint: key, choices: [{ index: 0, delta, finish_reason: finish }] })}\n\n`;
  return [
    chunk({ role: "assistant", content: "" }, null),
    ...words.map((content) => chunk({ content }, null)),
    chunk({}, "stop"),
    "data: [DONE]\n\n",
  ];
}

function messageEvents(key: string): string[] {
  const event = (type: string, data: object): string =>
    `event: ${type}\ndata: ${JSON.stringify({ type, ...data })}\n\n`;
  const message = {
    id: `msg_${key}`,
    type: "message",
    role: "assistant",
    content: [],
    model: "stand-in",
    stop_reason: null,
    stop_sequence: null,
    usage: { input_tokens: 1, output_tokens: 1 },
  };
  return [
    event("message_start", { message }),
    event("content_block_start", { index: 0, content_block: { type: "text", text: "" } }),
    ...words.map((text) => event("content_block_delta", { index: 0, delta: { type: "text_delta", text } })),
    event("content_block_stop", { index: 0 }),
    event("message_delta", { delta: { stop_reason: "end_turn", stop_sequence: null }, usage: { output_tokens: 4 } }),
    event("message_stop", {}),
  ];
}
