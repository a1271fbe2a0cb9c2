/* The limit: what this kernel allows. A loop in C that sends each message from Redis to every socket, one send() each.
 *
 *   limit PORT REDIS_PORT CHANNEL [CHANNEL…]
 *
 * It does only what nobody can leave out: an epoll loop, a frame built once, a send for each socket. It answers the
 * handshake of bench/load.c and no other (the key is always the one of RFC 6455, section 1.3).
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

static const char ANSWER[] =
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

static int epfd, sockets[1 << 17], count, place[1 << 17];
static char open_[1 << 17];

static void die(const char *what) {
    perror(what);
    exit(1);
}

static int tcp(int port, int serve) {
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM, 0), one = 1;
    if (serve) {
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
        if (bind(fd, (struct sockaddr *)&a, sizeof a) || listen(fd, 4096)) die("listen");
    } else if (connect(fd, (struct sockaddr *)&a, sizeof a)) {
        die("redis");
    }
    return fd;
}

static void watch(int fd) {
    fcntl(fd, F_SETFL, O_NONBLOCK);
    struct epoll_event e = {.events = EPOLLIN, .data.fd = fd};
    epoll_ctl(epfd, EPOLL_CTL_ADD, fd, &e);
}

static void gone(int fd) {
    if (open_[fd]) {
        sockets[place[fd]] = sockets[--count];
        place[sockets[place[fd]]] = place[fd];
        open_[fd] = 0;
    }
    close(fd);
}

static void tell(const char *text, size_t size) {
    unsigned char frame[65536] = {0x81};
    size_t head = size < 126 ? 2 : 4;
    if (head == 2) frame[1] = size;
    else frame[1] = 126, frame[2] = size >> 8, frame[3] = size;
    memcpy(frame + head, text, size);
    for (int i = 0; i < count; i++) {
        ssize_t n = send(sockets[i], frame, head + size, MSG_NOSIGNAL);
        if (n != (ssize_t)(head + size)) fprintf(stderr, "limit: a short send\n");
    }
}

/* RESP of pub/sub: arrays of three, of which the last bulk string is the message. */
static size_t messages(char *data, size_t size) {
    char *at = data, *end = data + size;
    for (;;) {
        char *p = at, *last = NULL;
        size_t last_size = 0;
        int is_message = 0;
        if (p >= end || *p != '*') return at - data;
        int parts = atoi(p + 1);
        for (int i = -1; i < parts; i++) {
            char *line = memchr(p, '\n', end - p);
            if (!line) return at - data;
            if (i >= 0 && *p == '$') {
                last_size = atoi(p + 1);
                last = line + 1;
                if (last + last_size + 2 > end) return at - data;
                if (i == 0) is_message = last_size == 7 && !memcmp(last, "message", 7);
                p = last + last_size + 2;
            } else {
                p = line + 1;
            }
        }
        if (is_message) tell(last, last_size);
        at = p;
    }
}

int main(int argc, char **argv) {
    if (argc < 4) return fprintf(stderr, "limit PORT REDIS_PORT CHANNEL...\n"), 2;
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    epfd = epoll_create1(0);
    int listener = tcp(atoi(argv[1]), 1), redis = tcp(atoi(argv[2]), 0);
    dprintf(redis, "*%d\r\n$9\r\nSUBSCRIBE\r\n", argc - 2);
    for (int i = 3; i < argc; i++) dprintf(redis, "$%zu\r\n%s\r\n", strlen(argv[i]), argv[i]);
    watch(listener);
    watch(redis);
    printf("listening\n");
    fflush(stdout);
    static char data[1 << 20];
    size_t have = 0;
    for (;;) {
        struct epoll_event events[512];
        int n = epoll_wait(epfd, events, 512, -1);
        for (int i = 0; i < n; i++) {
            int fd = events[i].data.fd;
            if (fd == listener) {
                int one = 1;
                for (int new; (new = accept(listener, NULL, NULL)) >= 0; watch(new))
                    setsockopt(new, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
            } else if (fd == redis) {
                ssize_t got = read(redis, data + have, sizeof data - have);
                if (got <= 0) return 0;
                have += got;
                size_t used = messages(data, have);
                have -= used;
                memmove(data, data + used, have);
            } else {
                char request[8192];
                ssize_t got = read(fd, request, sizeof request);
                if (got <= 0) {
                    gone(fd);
                } else if (!open_[fd]) {
                    if (write(fd, ANSWER, sizeof ANSWER - 1) < 0) continue;
                    open_[fd] = 1;
                    place[fd] = count;
                    sockets[count++] = fd;
                }
            }
        }
    }
}
