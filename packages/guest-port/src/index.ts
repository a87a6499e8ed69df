export { connectPort, EchoFinder, type PortOptions } from "./guest-port.ts";
