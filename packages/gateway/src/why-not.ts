/** What a visitor learns when the program inside gave no answer. */
import { CaissonError } from "@caisson/protocol";
import { errors } from "undici";
import type { Refusal } from "./refusal.ts";

export function whyNot(error: Error): Refusal {
  if (error instanceof CaissonError) {
    if (error.code === "gone") return { status: 410, rule: "sandbox-ended", message: error.message };
    if (error.code === "timeout")
      return {
        status: 504,
        rule: "no-answer",
        message: "The program in the sandbox did not accept the connection in time.",
      };
    if (error.code === "resource_exhausted") return { status: 503, rule: "busy", message: error.message };
    return { status: 502, rule: "not-listening", message: error.message };
  }
  if (error instanceof errors.HeadersTimeoutError || error instanceof errors.BodyTimeoutError) return noAnswer;
  return {
    status: 502,
    rule: "bad-answer",
    message: "The program in the sandbox did not send a valid HTTP/1.1 answer.",
  };
}

export const noAnswer: Refusal = {
  status: 504,
  rule: "no-answer",
  message: "The program in the sandbox did not answer in time.",
};
