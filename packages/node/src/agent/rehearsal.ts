/** A configuration for rehearsals: a clone without an owner applies it and reverts it. It has the same form as an owner's. */
import { unixNanos } from "./clock.ts";

/** The certificate of an authority like those of sandboxes. It has expired, and its key was deleted. */
const authority = `-----BEGIN CERTIFICATE-----
MIIBzTCCAXOgAwIBAgIQESIzRFVmd4iZAKq7zN3u/zAKBggqhkjOPQQDAjBFMTEw
LwYDVQQDEyhDYWlzc29uIHJlaGVhcnNhbCBhdXRob3JpdHkgMDEyMzQ1Njc4OWFi
MRAwDgYDVQQKEwdDYWlzc29uMB4XDTAwMDEwMTAwMDAwMFoXDTAxMDEwMTAwMDAw
MFowRTExMC8GA1UEAxMoQ2Fpc3NvbiByZWhlYXJzYWwgYXV0aG9yaXR5IDAxMjM0
NTY3ODlhYjEQMA4GA1UEChMHQ2Fpc3NvbjBZMBMGByqGSM49AgEGCCqGSM49AwEH
A0IABOHXjPFoyU4tBGAewCHTA20Iof+yD2jigKZp3nFHTE4JuT/XcyYcdiGG3MDz
zbp/BfDy9kjl9OZ2rDLn1l3SArqjRTBDMBIGA1UdEwEB/wQIMAYBAf8CAQAwDgYD
VR0PAQH/BAQDAgEGMB0GA1UdDgQWBBSDE0cjU2xVo2lKRpz4R2R72wwaYjAKBggq
hkjOPQQDAgNIADBFAiATnGO/HhdNOJ6jMn3C3nLy6HwPOLN+nxnAymV+R6HgtAIh
ANj4caRjTezmCglQQaZBZA9fBmMmBT26a4HSLponUAQG
-----END CERTIFICATE-----
`;

/** The values of a request to `Rehearse`. What is the same in the base image, such as its host name, would not be written. */
export function rehearsal() {
  return { hostname: "rehearsal", clockUnixNanos: unixNanos(), env: { REHEARSAL: "1" }, caCertificatePem: authority };
}
