export { connectPort, EchoFinder, type PortOptions } from "./guest-port.ts";
export { controlLimits, egressLimits, monitorLimits } from "./limits.ts";
export { type ConnectionMeter, PortMeter } from "./port-meter.ts";
export { type Rate, TokenBucket } from "./token-bucket.ts";
