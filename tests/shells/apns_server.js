// An HTTP/2 server that is not ours, on node's http2: it counts the pushes, and misbehaves as its arguments say.
"use strict";
const http2 = require("node:http2");

const [fault, at] = [process.argv[2], Number(process.argv[3])];
const seen = new Map();
let count = 0;
let session;

const server = http2.createServer({ settings: { maxConcurrentStreams: fault === "one" ? 1 : 1000 } });
server.on("session", (made) => {
  session = made;
  made.on("error", () => {});
});
server.on("stream", (stream, headers) => {
  stream.on("error", () => {});
  if (headers[":path"] === "/report") {
    stream.respond({ ":status": 200 });
    stream.end(JSON.stringify({ distinct: seen.size, most: Math.max(0, ...seen.values()) }));
    return;
  }
  count += 1;
  if (fault === "refuse" && count % at === 0) {
    stream.close(http2.constants.NGHTTP2_REFUSED_STREAM);
    return;
  }
  if (fault === "silence" && count === at) return;
  const id = headers["apns-id"];
  seen.set(id, (seen.get(id) || 0) + 1);
  if (fault === "goaway" && count === at) stream.session.close();
  if (fault === "limit" && count === at) stream.session.settings({ maxConcurrentStreams: 1 });
  stream.resume();
  setTimeout(() => {
    if (stream.destroyed) return;
    stream.respond({ ":status": 200, "apns-id": id }, { endStream: true });
  }, fault === "limit" || fault === "one" ? 0 : 20);
});
server.listen(0, "127.0.0.1", () => console.log(server.address().port));
