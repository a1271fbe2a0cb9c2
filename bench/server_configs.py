"""How each server is started and published to: one ServerConfig per server, in the order of the tables.

In: a RunContext. Out: commands, paths, bytes. Each peer is configured as its documentation recommends for many viewers:
no compression, one process, its fastest event loop. Each sends every message to every viewer.
"""

import os
import platform
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Literal

from bench import install, packets
from bench.viewers import compiled

PEERS = Path(__file__).parent / "peers"

NGINX = """
load_module {modules}/ngx_nchan_module.so;
daemon off; worker_processes 1; worker_rlimit_nofile {files};
pid {folder}/nginx.pid; lock_file {folder}/nginx.lock; error_log {folder}/nginx.err;
events {{ worker_connections {files}; }}
http {{
  access_log off; nchan_shared_memory_size 64M;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    location = /pub {{
      nchan_publisher; nchan_channel_id bench; nchan_message_buffer_length 1;
      keepalive_requests 1000000000; keepalive_timeout 1h;
    }}
    location = /v1/counters {{ nchan_subscriber websocket; nchan_channel_id bench; }}
  }}
}}
"""

MOSQUITTO = """
listener {port} 127.0.0.1
protocol websockets
listener {publish} 127.0.0.1
allow_anonymous true
persistence false
set_tcp_nodelay true
log_type error
"""


@dataclass(frozen=True, slots=True)
class RunContext:
    """The folder of a server, its port, a second port for publishers, Redis's port, and the tickets."""

    folder: Path
    port: int
    publish: int
    redis: int
    files: int
    tickets: Sequence[str]


@dataclass(frozen=True, slots=True)
class ServerConfig:
    """One server. An empty `path` means /v1/counters with the tickets; `publish_to` is where a publisher connects.

    `greeting` is what each viewer sends after its handshake, `hello` what the publisher sends first.
    """

    title: str
    version: Callable[[], str]
    command: Callable[[RunContext], Sequence[str]]
    install: Callable[[], object] = lambda: None
    environment: Callable[[RunContext], Mapping[str, str]] = lambda _: {}
    path: str = ""
    headers: str = ""
    greeting: bytes = b""
    publish_to: Literal["redis", "server", "publish_port"] = "redis"
    hello: bytes = b""
    template: Callable[[str], bytes] = packets.redis_publish


def _ports(context: RunContext) -> list[str]:
    return [str(context.port), str(context.redis), *map(packets.channel, context.tickets)]


def _limit(how: str) -> Callable[[RunContext], list[str]]:
    def command(context: RunContext) -> list[str]:
        port, redis, *channels = _ports(context)
        return [str(compiled("limit", context.folder)), port, redis, how, *channels]

    return command


def _python(file: str) -> Callable[[RunContext], list[str]]:
    return lambda context: [sys.executable, str(PEERS / file), *_ports(context)]


def _node(file: str) -> Callable[[RunContext], list[str]]:
    return lambda context: ["node", str(PEERS / file), *_ports(context)]


def _channels(context: RunContext) -> list[str]:
    return [str(install.pypi()), str(PEERS / "channels_group.py"), *_ports(context)]


def _modules(_: RunContext) -> dict[str, str]:
    # NODE_ENV as guides to Node in production recommend.
    return {"NODE_PATH": str(install.npm()), "NODE_ENV": "production"}


def _libraries(_: RunContext) -> dict[str, str]:
    return {"LD_LIBRARY_PATH": os.pathsep.join(str(one) for one in install.debian().glob("usr/lib/*-linux-gnu*"))}


def _our_settings(context: RunContext) -> dict[str, str]:
    return {"WIX_SITES": packets.SITE, **unlimited_settings(context.redis, context.port)}


def unlimited_settings(redis: int, port: int) -> dict[str, str]:
    """Settings of ticket-counter at these two ports, without limits that viewers from one address would reach."""
    return {
        "REDIS_URL": f"redis://127.0.0.1:{redis}/0",
        "PORT": str(port),
        "MAX_CONNECTIONS": "100000",
        "MAX_CONNECTIONS_PER_ADDRESS": "100000",
        "LOG_LEVEL": "ERROR",
        "PYTHONPATH": str(install.ROOT),
    }


def _nginx(context: RunContext) -> list[str]:
    root, conf = install.debian(), context.folder / "nginx.conf"
    modules = root / "usr/lib/nginx/modules"
    conf.write_text(NGINX.format(modules=modules, folder=context.folder, port=context.port, files=context.files))
    return [str(root / "usr/sbin/nginx"), "-p", str(context.folder), "-c", str(conf)]


def _mosquitto(context: RunContext) -> list[str]:
    conf = context.folder / "mosquitto.conf"
    conf.write_text(MOSQUITTO.format(port=context.port, publish=context.publish))
    return [str(install.debian() / "usr/sbin/mosquitto"), "-c", str(conf)]


def _starlette() -> str:
    return f"{version('starlette')}, uvicorn {version('uvicorn')}"


SERVER_CONFIGS: Mapping[str, ServerConfig] = {
    "ours": ServerConfig(
        "ticket-counter",
        lambda: f"{version('ticket-counter')}, uvicorn {version('uvicorn')}",
        lambda _: [sys.executable, "-c", "from server.cli import main; main()", "web"],
        environment=_our_settings,
        template=packets.our_keep,
    ),
    "limit": ServerConfig(
        "a loop in C",
        lambda: f"{platform.system()} {platform.release()}",
        _limit("each"),
    ),
    "merged": ServerConfig(
        "a loop in C, merged",
        lambda: f"{platform.system()} {platform.release()}",
        _limit("merged"),
    ),
    "nchan": ServerConfig(
        "Nchan",
        lambda: f"{install.debian_version('libnginx-mod-nchan')}, nginx {install.debian_version('nginx')}",
        _nginx,
        install=install.nchan,
        environment=_libraries,
        publish_to="server",
        template=packets.http_post,
    ),
    "mosquitto": ServerConfig(
        "Mosquitto",
        lambda: install.debian_version("mosquitto"),
        _mosquitto,
        install=install.debian,
        environment=_libraries,
        path="/mqtt",
        headers="Sec-WebSocket-Protocol: mqtt\r\n",
        greeting=packets.frame(2, packets.MQTT_CONNECT) + packets.frame(2, packets.MQTT_SUBSCRIBE),
        publish_to="publish_port",
        hello=packets.MQTT_CONNECT,
        template=packets.mqtt_publish,
    ),
    "ws": ServerConfig(
        "Node ws",
        lambda: install.npm_version("ws"),
        _node("ws.js"),
        install=install.npm,
        environment=_modules,
    ),
    "socketio": ServerConfig(
        "socket.io",
        lambda: install.npm_version("socket.io"),
        _node("socketio.js"),
        install=install.npm,
        environment=_modules,
        path="/socket.io/?EIO=4&transport=websocket",
        greeting=packets.frame(1, b"40"),
        template=packets.socketio_emit,
    ),
    "websockets": ServerConfig(
        "websockets broadcast", lambda: version("websockets"), _python("websockets_broadcast.py")
    ),
    "starlette_loop": ServerConfig("Starlette, a loop of sends", _starlette, _python("starlette_loop.py")),
    "starlette_queue": ServerConfig("Starlette, a queue per viewer", _starlette, _python("starlette_queue.py")),
    "channels": ServerConfig(
        "Django Channels",
        lambda: f"{install.pypi_version('channels')}, Django {install.pypi_version('django')}",
        _channels,
        install=install.pypi,
        template=packets.channels_send,
    ),
}
