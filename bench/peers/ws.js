// A counter on Node's ws: a set of sockets, a loop of send for each message from Redis. Called with PORT REDIS_PORT
// CHANNEL…; NODE_PATH leads to its packages.
"use strict";

const { createClient } = require("redis");
const { WebSocket, WebSocketServer } = require("ws");

const [port, redis, ...channels] = process.argv.slice(2);

async function main() {
  const subscriber = createClient({ url: `redis://127.0.0.1:${redis}/0` });
  await subscriber.connect();
  const server = new WebSocketServer({
    host: "127.0.0.1",
    port: Number(port),
    backlog: 4096,
    perMessageDeflate: false,
  });
  const broadcast = (message) => {
    for (const viewer of server.clients) {
      if (viewer.readyState === WebSocket.OPEN) viewer.send(message, { binary: false });
    }
  };
  // As buffers: a string would be encoded again for each socket.
  await subscriber.subscribe(channels, broadcast, true);
}

main();
