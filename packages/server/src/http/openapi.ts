/** The OpenAPI document, from the schemas that check the requests. */
import { z } from "zod";
import { createConfigSchema } from "../lifecycle/create-request.ts";
import { volumePaths, volumeSchemas } from "../volumes/openapi.ts";
import {
  auditEvent,
  auditQuery,
  errorSchema,
  exposeResponse,
  extendRequest,
  extendResponse,
  sandboxSchema,
} from "./schemas.ts";

type Json = Record<string, unknown>;

const named = {
  Error: errorSchema,
  ExtendRequest: extendRequest,
  ExtendResponse: extendResponse,
  ExposeResponse: exposeResponse,
  Sandbox: sandboxSchema,
  AuditEvent: auditEvent,
  CreateConfig: createConfigSchema,
  ...volumeSchemas,
};

export function openApiDocument(url: string): Json {
  const id = parameter("id", "path", { type: "string", pattern: "^sbx_" });
  const page = [
    parameter("limit", "query", { type: "integer", minimum: 1, maximum: 1000 }),
    parameter("cursor", "query", { type: "string" }),
  ];
  const list = operation(
    "List sandboxes, newest first",
    { 200: json("Running and stopped sandboxes", { type: "array", items: ref("Sandbox") }) },
    [
      ...page,
      parameter(
        "labels",
        "query",
        { type: "object", additionalProperties: { type: "string" } },
        { style: "deepObject", explode: true },
      ),
    ],
  );
  const one = {
    delete: operation("End a sandbox", { 204: { description: "It has ended." } }, [id]),
    patch: {
      ...operation("Move the end of life", { 200: json("Granted", ref("ExtendResponse")) }, [id]),
      requestBody: { required: true, content: { "application/json": { schema: ref("ExtendRequest") } } },
    },
  };
  const filters = Object.entries(auditQuery.shape).map(([name, schema]) => parameter(name, "query", toSchema(schema)));
  return {
    openapi: "3.1.0",
    info: {
      title: "Caisson",
      version: "0.1.0",
      description: "REST interface. Sandboxes themselves are used over WebSocket: JSON-RPC 2.0 in text frames.",
    },
    servers: [{ url }],
    security: [{ token: [] }],
    paths: {
      "/api/v3/sandboxes/create": {
        get: operation(
          "Create a sandbox: WebSocket upgrade",
          { 101: { description: "Runs; `x-deno-sandbox-id` names it." } },
          [
            {
              ...parameter("x-deno-sandbox-config", "header", { type: "string" }),
              required: true,
              description: "Base64 of JSON as in #/components/schemas/CreateConfig.",
            },
          ],
        ),
      },
      "/api/v3/sandbox/{id}/connect": {
        get: operation("Connect to a sandbox: WebSocket upgrade", { 101: { description: "Connected" } }, [id]),
      },
      "/api/v2/sandboxes": { get: list },
      "/api/v3/sandboxes": { get: list },
      "/api/v3/sandbox/{id}": one,
      "/api/v3/sandboxes/{id}": one,
      "/api/v3/sandbox/{id}/expose/http": {
        post: operation(
          "Reserve a public name, which the RPC method `exposeHttp` binds to a port",
          { 200: json("Reserved", ref("ExposeResponse")) },
          [id],
        ),
      },
      "/api/v1/audit": {
        get: operation(
          "What sandboxes tried to reach, newest first",
          { 200: json("Events", { type: "array", items: ref("AuditEvent") }) },
          [...filters, ...page],
        ),
      },
      "/api/v1/audit/stream": {
        get: operation(
          "The same, live",
          {
            200: { description: "Server-sent events", content: { "text/event-stream": { schema: ref("AuditEvent") } } },
          },
          filters,
        ),
      },
      ...volumePaths(page),
      "/healthz": { get: { ...operation("Health", { 200: { description: "Healthy" } }, []), security: [] } },
      "/metrics": {
        get: { ...operation("Prometheus metrics", { 200: { description: "Metrics" } }, []), security: [] },
      },
    },
    components: {
      securitySchemes: {
        token: { type: "http", scheme: "bearer", description: "An organisation's token, `ddo_...`." },
      },
      schemas: Object.fromEntries(Object.entries(named).map(([name, schema]) => [name, toSchema(schema)])),
    },
  };
}

function toSchema(schema: z.ZodType): Json {
  const { $schema: _, id: __, ...rest } = z.toJSONSchema(schema, { io: "input", unrepresentable: "any" });
  return rest;
}

function ref(name: keyof typeof named): Json {
  return { $ref: `#/components/schemas/${name}` };
}

function json(description: string, schema: Json): Json {
  return { description, content: { "application/json": { schema } } };
}

function parameter(name: string, where: "path" | "query" | "header", schema: Json, extra: Json = {}): Json {
  return { name, in: where, required: where === "path", schema, ...extra };
}

function operation(summary: string, responses: Json, parameters: Json[]): Json {
  return { summary, parameters, responses: { ...responses, default: json("Refused", ref("Error")) } };
}
