/** Limits of labels, from the documentation of the hosted service. */

/** Labels of a sandbox or an app. The label index has 2^5 - 1 rows for each. */
const maxLabels = 5;
const maxKeyBytes = 64;
const maxValueBytes = 128;

/** What is wrong with these labels; undefined when nothing is. */
export function faultOfLabels(labels: Readonly<Record<string, string>>): string | undefined {
  const entries = Object.entries(labels);
  if (entries.length > maxLabels) return `at most ${maxLabels} labels are allowed, not ${entries.length}`;
  for (const [key, value] of entries) {
    if (key === "" || Buffer.byteLength(key) > maxKeyBytes)
      return `the key of a label has 1 to ${maxKeyBytes} bytes: ${JSON.stringify(key.slice(0, 80))}`;
    if (Buffer.byteLength(value) > maxValueBytes)
      return `the value of label ${JSON.stringify(key)} has more than ${maxValueBytes} bytes`;
  }
  return undefined;
}
