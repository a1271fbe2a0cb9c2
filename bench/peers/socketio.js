// A counter on socket.io with its Redis adapter, published to as its Redis emitter does. Called with PORT REDIS_PORT
// CHANNEL…; its packages are found by NODE_PATH.
"use strict";

const { createServer } = require("node:http");
const { createAdapter } = require("@socket.io/redis-adapter");
const { createClient } = require("redis");
const { Server } = require("socket.io");

const [port, redis] = process.argv.slice(2);
const HOUR_MS = 3_600_000;

async function main() {
  const publisher = createClient({ url: `redis://127.0.0.1:${redis}/0` });
  const subscriber = publisher.duplicate();
  await Promise.all([publisher.connect(), subscriber.connect()]);
  const http = createServer();
  const io = new Server(http, {
    // JSON, the adapter's other usual coding: the publisher's number stays readable, and V8 is quicker at it.
    adapter: createAdapter(publisher, subscriber, { parser: { encode: JSON.stringify, decode: JSON.parse } }),
    transports: ["websocket"],
    perMessageDeflate: false,
    serveClient: false,
    pingInterval: HOUR_MS, // the viewers answer WebSocket's pings, not engine.io's own
  });
  // Its page on performance: the first request need not be kept for as long as the viewer stays.
  io.engine.on("connection", (viewer) => {
    viewer.request = null;
  });
  http.listen({ host: "127.0.0.1", port: Number(port), backlog: 4096 });
}

main();
