/**
 * Import it first: the client's WebSocket library then does without the native module that the server has it use, as where only the
 * client is installed. To be deleted from the environment before a server is started.
 */
process.env["WS_NO_BUFFER_UTIL"] = "1";
