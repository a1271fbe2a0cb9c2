/* The limit of this kernel: a loop in C that sends each message from Redis to every socket, one send() each.
 *
 *   limit PORT REDIS_PORT each|merged CHANNEL [CHANNEL…]
 *
 * It does only what every server must: an epoll loop, a frame built once, a send for each socket that requested the
 * channel (the ticket in "?ticket=…" is the end of a channel's name). `merged` makes one send() for all messages of one
 * read from Redis. It answers only the handshake of bench/load.c (the key is always that of RFC 6455, section 1.3).
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

#define MAX_FDS (1 << 17) /* descriptors */

typedef struct {
    char *name, *key; /* key: the part of the name after the last colon */
    int *sockets, count, room;
} channel;

static int epfd, channel_count, merged;
static channel *channels;
static char *due[MAX_FDS]; /* by descriptor, with merged: bytes to send */
static size_t due_size[MAX_FDS];
static char open_[MAX_FDS];

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

static void add_to_epoll(int fd) {
    fcntl(fd, F_SETFL, O_NONBLOCK);
    struct epoll_event e = {.events = EPOLLIN, .data.fd = fd};
    epoll_ctl(epfd, EPOLL_CTL_ADD, fd, &e);
}

static int by_key(const void *a, const void *b) {
    return strcmp(((const channel *)a)->key, ((const channel *)b)->key);
}

static channel *find(char *key) {
    channel wanted = {.key = key};
    return bsearch(&wanted, channels, channel_count, sizeof wanted, by_key);
}

static void subscribe(char *request, int fd) {
    for (char *p = request; (p = strstr(p, "ticket=")); ) {
        p += 7;
        size_t size = strcspn(p, "& ");
        char after = p[size];
        p[size] = 0;
        channel *c = find(p);
        p[size] = after;
        if (!c) continue;
        if (c->count == c->room) c->sockets = realloc(c->sockets, (c->room = c->room * 2 + 64) * sizeof(int));
        c->sockets[c->count++] = fd;
    }
}

static void disconnect(int fd) {
    for (int i = 0; open_[fd] && i < channel_count; i++)
        for (int j = channels[i].count; j-- > 0;)
            if (channels[i].sockets[j] == fd) channels[i].sockets[j] = channels[i].sockets[--channels[i].count];
    open_[fd] = 0;
    free(due[fd]);
    due[fd] = NULL;
    due_size[fd] = 0;
    close(fd);
}

static void send_bytes(int fd, const void *bytes, size_t size) {
    if (send(fd, bytes, size, MSG_NOSIGNAL) != (ssize_t)size) fprintf(stderr, "limit: a short send\n");
}

static void broadcast(channel *to, const char *text, size_t size) {
    static unsigned char frame[65536] = {0x81};
    size_t head = size < 126 ? 2 : 4;
    if (head == 2) frame[1] = size;
    else frame[1] = 126, frame[2] = size >> 8, frame[3] = size;
    memcpy(frame + head, text, size);
    for (int i = 0; i < to->count; i++) {
        int fd = to->sockets[i];
        if (!merged) {
            send_bytes(fd, frame, head + size);
            continue;
        }
        due[fd] = realloc(due[fd], due_size[fd] + head + size);
        memcpy(due[fd] + due_size[fd], frame, head + size);
        due_size[fd] += head + size;
    }
}

static void flush(void) {
    for (int i = 0; i < channel_count; i++)
        for (int j = 0; j < channels[i].count; j++) {
            int fd = channels[i].sockets[j];
            if (due_size[fd]) send_bytes(fd, due[fd], due_size[fd]);
            due_size[fd] = 0;
        }
}

/* Pub/sub in RESP: arrays of three, with the message as the last bulk string. */
static size_t messages(char *data, size_t size) {
    char *at = data, *end = data + size;
    for (;;) {
        char *p = at, *last = NULL;
        channel *to = NULL;
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
                if (i == 1 && is_message) {
                    last[last_size] = 0; /* overwrites a carriage return that is already parsed */
                    char *colon = strrchr(last, ':');
                    to = colon ? find(colon + 1) : NULL;
                }
                p = last + last_size + 2;
            } else {
                p = line + 1;
            }
        }
        if (to) broadcast(to, last, last_size);
        at = p;
    }
}

int main(int argc, char **argv) {
    if (argc < 5) return fprintf(stderr, "limit PORT REDIS_PORT each|merged CHANNEL...\n"), 2;
    merged = !strcmp(argv[3], "merged");
    channel_count = argc - 4;
    channels = calloc(channel_count, sizeof *channels);
    for (int i = 0; i < channel_count; i++) {
        char *colon = strrchr(argv[i + 4], ':');
        channels[i] = (channel){.name = argv[i + 4], .key = colon ? colon + 1 : argv[i + 4]};
    }
    qsort(channels, channel_count, sizeof *channels, by_key);
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    epfd = epoll_create1(0);
    int listener = tcp(atoi(argv[1]), 1), redis = tcp(atoi(argv[2]), 0);
    dprintf(redis, "*%d\r\n$9\r\nSUBSCRIBE\r\n", channel_count + 1);
    for (int i = 0; i < channel_count; i++) dprintf(redis, "$%zu\r\n%s\r\n", strlen(channels[i].name), channels[i].name);
    add_to_epoll(listener);
    add_to_epoll(redis);
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
                for (int new; (new = accept(listener, NULL, NULL)) >= 0; add_to_epoll(new))
                    setsockopt(new, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
            } else if (fd == redis) {
                ssize_t got = read(redis, data + have, sizeof data - have);
                if (got <= 0) return 0;
                have += got;
                size_t used = messages(data, have);
                have -= used;
                memmove(data, data + used, have);
                if (merged) flush();
            } else {
                char request[8192];
                ssize_t got = read(fd, request, sizeof request - 1);
                if (got <= 0) {
                    disconnect(fd);
                } else if (!open_[fd]) {
                    if (write(fd, ANSWER, sizeof ANSWER - 1) < 0) continue;
                    open_[fd] = 1;
                    request[got] = 0;
                    *strchrnul(request, '\n') = 0;
                    subscribe(request, fd);
                }
            }
        }
    }
}
