/** The one way in which a step of the set-up fails. */

export class SetupFailure extends Error {
  /**
   * @param {string} cause what went wrong; may have several lines
   * @param {string} remedy what the user can do
   * @param {string} [log] path of the whole output
   */
  constructor(cause, remedy, log) {
    super(cause);
    this.name = "SetupFailure";
    this.remedy = remedy;
    this.log = log;
  }
}
