// A counter on socket.io with its Redis adapter; the benchmark publishes like its Redis emitter. Called with PORT
// REDIS_PORT CHANNEL…; NODE_PATH leads to its packages.
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
    // JSON instead of msgpack: the publisher's number stays readable, and V8 parses it faster.
    adapter: createAdapter(publisher, subscriber, { parser: { encode: JSON.stringify, decode: JSON.parse } }),
    transports: ["websocket"],
    perMessageDeflate: false,
    serveClient: false,
    pingInterval: HOUR_MS, // the viewers answer WebSocket pings, but not engine.io's
  });
  // Its documentation on performance recommends to drop the first request, which needs memory.
  io.engine.on("connection", (viewer) => {
    viewer.request = null;
  });
  http.listen({ host: "127.0.0.1", port: Number(port), backlog: 4096 });
}

main();
